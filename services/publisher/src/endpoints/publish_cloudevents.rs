//! `POST /v1/events`: CloudEvents in structured, binary or batch mode.
//!
//! A batch is atomic for each of its plans, and answers one result an event, in the batch's order:
//! `{"results":[{"status":201,"event":{…}},{"status":422,"problem":{…}}]}`. What is wrong with one event refuses the
//! others of its plan in this batch with it; its place is in the problem's pointers. The answer is 207 where any was
//! refused.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::future::join_all;
use sealbus_core::cloudevents::{BATCH, HEADER_PREFIX, Incoming, STRUCTURED, from_binary, from_structured};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::View;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{check_count, read_value};
use sealbus_ledger::append::Expect;
use serde::Serialize;
use serde_json::Value;

use super::publish::single_answer;
use crate::app::App;
use crate::auth::caller::{Caller, single};
use crate::auth::tokens::Scope;
use crate::http::answers::{Form, json, with_sealed};
use crate::http::body::Taken;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::publish::publishing::{Conditions, Publication, Published, is_traceparent};
use crate::publish::sealed::{Receipted, Wait};

pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    parameters: Parameters,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::Publish)?;
    let wait = Wait::read(parameters, app.sealed_wait)?;
    let conditions = Conditions::read(&headers)?;
    let content_type = single(&headers, header::CONTENT_TYPE.as_str())?;
    let essence =
        content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let binary = headers.contains_key(format!("{HEADER_PREFIX}specversion"));
    if essence != STRUCTURED && essence != BATCH && !binary {
        let detail = format!("this path takes {STRUCTURED}, {BATCH}, or any type with ce- headers");
        return Err(Problem::new(ErrorKind::UnsupportedMediaType, detail));
    }
    let taken = app.intake.take(&headers, body).await?;
    if essence == BATCH {
        let events = read_value(&taken.bytes, &app.limits)?;
        return batch(&app, &caller, &conditions, wait, taken, events).await;
    }
    let incoming = if essence == STRUCTURED {
        from_structured(read_value(&taken.bytes, &app.limits)?)?
    } else {
        from_binary(&attributes(&headers)?, content_type.as_deref(), &taken.bytes, &app.limits)?
    };
    let tenant = caller.publishes(incoming.tenant.as_ref())?;
    let (plan, publication) = publication(incoming, None, &conditions);
    let appended = app.publish(&caller, tenant, plan, conditions.expect, &[publication]).await?;
    let first = appended.first().ok_or_else(|| Problem::new(ErrorKind::Internal, "the ledger gave no record"))?;
    let receipted = match wait {
        Some(wait) => {
            drop(taken);
            Some(app.sealed(wait, &[first]).await)
        }
        None => None,
    };
    Ok(single_answer(first, receipted.as_deref(), Form::accepted(&headers)))
}

/// The events of one plan in a batch, in the batch's order, or what is wrong with the first faulty one of them.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    publications: Vec<Publication>,
    problem: Option<Problem>,
}

async fn batch(
    app: &App,
    caller: &Caller,
    conditions: &Conditions,
    wait: Option<Wait>,
    taken: Taken,
    body: Value,
) -> Result<Response, Problem> {
    if conditions.expect != Expect::Any {
        return Err(Refused::field(
            ErrorKind::InvalidField,
            "If-Match",
            "mode",
            "does not go with a batch, which has many plans",
        )
        .into());
    }
    let Value::Array(events) = body else {
        return Err(Refused::field(ErrorKind::InvalidField, "", "type", "a batch is an array").into());
    };
    check_count(events.len(), &app.limits)?;
    let mut results: Vec<Option<Outcome>> = (0..events.len()).map(|_| None).collect();
    let mut groups: HashMap<(Tenant, Plan), Group> = HashMap::new();
    for (at, event) in events.into_iter().enumerate() {
        let named = (event["tenantid"].as_str().map(str::to_owned), event["subject"].as_str().map(str::to_owned));
        match read(caller, event, at, conditions) {
            Ok((tenant, plan, publication)) => {
                let group = groups.entry((tenant, plan)).or_default();
                group.places.push(at);
                group.publications.push(publication);
            }
            Err(refused) => {
                let problem = Problem::from(refused);
                results[at] = Some(refusal(app, &problem));
                // Where the faulty event still says which plan it is for, that plan gets none of this batch.
                if let Some(key) = plan_of(caller, &named) {
                    groups.entry(key).or_default().problem.get_or_insert(problem);
                }
            }
        }
    }
    let published = groups.into_iter().map(async |((tenant, plan), Group { places, publications, problem })| {
        let outcome = match problem {
            Some(problem) => Err(problem),
            None => app.publish(caller, tenant, plan, Expect::Any, &publications).await,
        };
        (places, outcome)
    });
    let mut stored: Vec<(usize, Published)> = Vec::new();
    for (places, outcome) in join_all(published).await {
        match outcome {
            Ok(appended) => stored.extend(places.into_iter().zip(appended)),
            Err(problem) => places.into_iter().for_each(|at| results[at] = Some(refusal(app, &problem))),
        }
    }
    let mut sealed = None;
    if let Some(wait) = wait {
        drop(taken);
        let receipted = app.sealed(wait, &stored.iter().map(|(_, event)| event).collect::<Vec<_>>()).await;
        sealed = Some(receipted.iter().all(|event| event.sealed));
        for ((at, event), receipted) in stored.into_iter().zip(receipted) {
            results[at] = Some(Outcome::stored(event.new, Shown::Receipted(Box::new(receipted))));
        }
    } else {
        for (at, Published { view, new, .. }) in stored {
            results[at] = Some(Outcome::stored(new, Shown::Stored(view)));
        }
    }
    let results: Vec<Outcome> = results.into_iter().flatten().collect();
    let status = if results.iter().any(|result| result.problem.is_some()) {
        StatusCode::MULTI_STATUS
    } else if results.iter().any(|result| result.status == 201) {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let answer = json(status, &Outcomes { results });
    Ok(match sealed {
        Some(sealed) => with_sealed(answer, sealed),
        None => answer,
    })
}

fn read(
    caller: &Caller,
    event: Value,
    at: usize,
    conditions: &Conditions,
) -> Result<(Tenant, Plan, Publication), Refused> {
    let within = |refused: Refused| refused.within(&format!("/{at}"));
    let incoming = from_structured(event).map_err(within)?;
    let tenant = caller.publishes(incoming.tenant.as_ref()).map_err(within)?;
    let (plan, publication) = publication(incoming, Some(at), conditions);
    Ok((tenant, plan, publication))
}

/// The plan that a faulty event was for.
fn plan_of(caller: &Caller, (tenant, subject): &(Option<String>, Option<String>)) -> Option<(Tenant, Plan)> {
    let tenant = tenant.as_deref().map(Tenant::parse).transpose().ok()?;
    Some((caller.publishes(tenant.as_ref()).ok()?, Plan::parse(subject.as_deref()?).ok()?))
}

fn publication(incoming: Incoming, at: Option<usize>, conditions: &Conditions) -> (Plan, Publication) {
    let key = conditions.key.as_ref().map(|key| at.map_or(key.clone(), |at| format!("{key}/{at}")));
    let own = incoming.traceparent.filter(|text| is_traceparent(text));
    let traceparent = own.or_else(|| conditions.traceparent.clone());
    (incoming.plan, Publication { at, request: incoming.request, traceparent, key })
}

/// What became of one event of a batch.
#[derive(Serialize)]
struct Outcome {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
}

/// The answer to a batch.
#[derive(Serialize)]
struct Outcomes {
    results: Vec<Outcome>,
}

/// An event of the answer.
enum Shown {
    /// As its publisher is shown it.
    Stored(View),
    /// With its receipt.
    Receipted(Box<Receipted>),
}

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stored(view) => view.serialize(serializer),
            Self::Receipted(receipted) => receipted.serialize(serializer),
        }
    }
}

impl Outcome {
    fn stored(new: bool, event: Shown) -> Self {
        Self { status: if new { 201 } else { 200 }, event: Some(event), problem: None }
    }
}

fn refusal(app: &App, problem: &Problem) -> Outcome {
    app.metrics.refused(problem.kind());
    Outcome { status: problem.kind().status(), event: None, problem: Some(problem.to_json()) }
}

fn attributes(headers: &HeaderMap) -> Result<Vec<(&str, &str)>, Refused> {
    let refuse = |name: &str| {
        Refused::field(ErrorKind::InvalidField, name, "pattern", "is printable ASCII, percent-encoded beyond that")
    };
    headers
        .iter()
        .map(|(name, value)| Ok((name.as_str(), value.to_str().map_err(|_| refuse(name.as_str()))?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::{Value, json};

    use crate::tests::support::{Answer, Publisher, answer};

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn cloudevent(id: &str, plan: &str, data: &Value) -> Value {
        json!({
            "specversion": "1.0", "id": id, "source": "/orders", "type": "any.thing", "subject": plan,
            "time": "2026-11-20T10:00:00Z", "datacontenttype": "application/json", "correlationid": "c",
            "priority": "low", "traceparent": TRACE, "region": "eu", "data": data,
        })
    }

    async fn post(publisher: &Publisher, media_type: &str, body: &Value) -> Answer {
        let call = publisher.call(Method::POST, "/v1/events", "acme").header("content-type", media_type);
        answer(call.body(body.to_string())).await
    }

    async fn batch(publisher: &Publisher, body: &Value) -> Answer {
        post(publisher, "application/cloudevents-batch+json", body).await
    }

    fn statuses(answer: &Answer) -> Vec<u64> {
        let results = answer.body["results"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        results.iter().map(|result| result["status"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn structured_and_binary_are_one_event() {
        let publisher = Publisher::start().await;
        let structured = post(
            &publisher,
            "application/cloudevents+json; charset=utf-8",
            &cloudevent("A-1", "p", &json!({ "a": 1 })),
        )
        .await;
        assert_eq!(structured.status, 201, "{structured:?}");
        let expected = json!({ "region": "eu", "sealbus": { "auth": "token", "id": "A-1", "priority": "low", "traceparent": TRACE } });
        assert_eq!((&structured.body["plan"], &structured.body["metadata"]), (&json!("p"), &expected));
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "A-1"),
            ("ce-source", "/orders"),
            ("ce-type", "any.thing"),
            ("ce-subject", "p"),
            ("ce-time", "2026-11-20T10:00:00Z"),
            ("ce-correlationid", "c"),
            ("ce-priority", "low"),
            ("ce-region", "eu"),
            ("content-type", "application/json"),
        ];
        let call = headers
            .into_iter()
            .fold(publisher.call(Method::POST, "/v1/events", "acme"), |call, (name, value)| call.header(name, value));
        let binary = answer(call.body(r#"{"a":1}"#)).await;
        assert_eq!((binary.status, &binary.body), (200, &structured.body));
    }

    #[tokio::test]
    async fn a_batch_over_several_plans_answers_one_result_an_event() {
        let publisher = Publisher::start().await;
        let events: Vec<_> = (0..6).map(|n| cloudevent(&format!("A-{n}"), ["p", "q", "r"][n % 3], &json!(n))).collect();
        let stored = batch(&publisher, &json!(events)).await;
        assert_eq!((stored.status, statuses(&stored)), (201, vec![201; 6]));
        let data: Vec<_> =
            stored.body["results"].as_array().unwrap().iter().map(|result| result["event"]["data"].clone()).collect();
        assert_eq!(data, [0, 1, 2, 3, 4, 5].map(Value::from));
        assert_eq!(publisher.trail("q").await.len(), 2);
        let again = batch(&publisher, &json!(events)).await;
        assert_eq!((again.status, statuses(&again)), (200, vec![200; 6]));
    }

    #[tokio::test]
    async fn a_faulty_event_takes_its_plan_with_it_and_no_other() {
        let publisher = Publisher::start().await;
        let mut faulty = cloudevent("A-2", "p", &json!(null));
        faulty["type"] = json!("nobody.knows");
        let mut malformed = cloudevent("A-4", "r", &json!(null));
        malformed["time"] = json!("noon");
        let events = json!([
            cloudevent("A-0", "p", &json!(0)),
            cloudevent("A-1", "q", &json!(1)),
            faulty,
            cloudevent("A-3", "r", &json!(3)),
            malformed,
        ]);
        let answered = batch(&publisher, &events).await;
        assert_eq!((answered.status, statuses(&answered)), (207, vec![422, 201, 422, 400, 400]));
        let problem = |at: usize| answered.body["results"][at]["problem"].clone();
        assert_eq!(
            (&problem(0)["code"], &problem(0)["errors"][0]["pointer"]),
            (&json!("unknown_event_type"), &json!("/2/type"))
        );
        assert_eq!(
            (&problem(3)["code"], &problem(3)["errors"][0]["pointer"]),
            (&json!("invalid_field"), &json!("/4/time"))
        );
        assert_eq!(
            [publisher.trail("p").await.len(), publisher.trail("q").await.len(), publisher.trail("r").await.len()],
            [0, 1, 0]
        );
    }

    #[tokio::test]
    async fn each_event_of_a_batch_may_name_its_tenant() {
        let publisher = Publisher::start().await;
        let in_tenant = |id: &str, tenant: &str| {
            let mut event = cloudevent(id, "p", &json!(null));
            event["tenantid"] = json!(tenant);
            event
        };
        let events = json!([
            in_tenant("A-0", "acme"),
            in_tenant("A-1", "other"),
            in_tenant("A-2", "third"),
            cloudevent("A-3", "p", &json!(null))
        ]);
        let call = publisher
            .call(Method::POST, "/v1/events", "both")
            .header("content-type", "application/cloudevents-batch+json");
        let answered = answer(call.body(events.to_string())).await;
        assert_eq!(statuses(&answered), [201, 201, 403, 400], "{answered:?}");
        assert_eq!(answered.body["results"][2]["problem"]["code"], "cross_tenant");
        assert_eq!(answered.body["results"][1]["event"]["tenant"], "other");
    }

    #[tokio::test]
    async fn a_key_makes_a_batch_repeatable() {
        let publisher = Publisher::start().await;
        let mut event = cloudevent("", "p", &json!(1));
        event.as_object_mut().unwrap().remove("id");
        let post = async || {
            let call = publisher
                .call(Method::POST, "/v1/events", "acme")
                .header("content-type", "application/cloudevents-batch+json");
            answer(call.header("idempotency-key", "k").body(json!([event, event]).to_string())).await
        };
        let (first, again) = (post().await, post().await);
        assert_eq!((statuses(&first), statuses(&again)), (vec![201, 201], vec![200, 200]));
    }

    #[tokio::test]
    async fn faulty_calls_are_refused_as_a_whole() {
        let publisher = Publisher::start().await;
        let event = cloudevent("A-1", "p", &json!(null));
        post(&publisher, "application/json", &event).await.is_problem("unsupported_media_type");
        post(&publisher, "application/cloudevents+json", &json!([event])).await.is_field_problem(
            "invalid_field",
            "",
            "type",
        );
        post(&publisher, "application/cloudevents+json", &json!({ "specversion": "0.3" })).await.is_field_problem(
            "invalid_field",
            "/specversion",
            "const",
        );
        batch(&publisher, &event).await.is_field_problem("invalid_field", "", "type");
        batch(&publisher, &json!([])).await.is_field_problem("invalid_field", "", "minItems");
        let call = publisher
            .call(Method::POST, "/v1/events", "acme")
            .header("content-type", "application/cloudevents-batch+json");
        answer(call.header("if-match", "\"1\"").body("[]")).await.is_field_problem("invalid_field", "If-Match", "mode");
        let call =
            publisher.call(Method::POST, "/v1/events", "acme").header("content-type", "application/cloudevents+json");
        answer(call.body("{")).await.is_problem("json_syntax");
        let mut other = event.clone();
        other["tenantid"] = json!("other");
        post(&publisher, "application/cloudevents+json", &other).await.is_problem("cross_tenant");
    }
}
