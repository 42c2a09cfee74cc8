//! `POST /v1/events`: publishing `CloudEvents` in structured, binary or batch mode.
//!
//! A batch is atomic for each of its plans. The response has one result per event, in the order of the batch:
//! `{"results":[{"status":201,"event":{…}},{"status":422,"problem":{…}}]}`. An invalid event refuses all events of its plan
//! in this batch; the pointers of the problem name its index.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use sealbus_core::canonical::{Node, Text};
use sealbus_core::cloudevents::{BATCH, HEADER_PREFIX, Incoming, Mode, STRUCTURED, from_binary, from_structured};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{Events, check_not_empty, read_one};
use sealbus_ledger::append::Expect;
use serde::Serialize;
use serde_json::Value;

use super::publish::{sealed_header, single_response};
use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{EventFormat, JSON, Parameters, Problem, ReceivedBody, held_json, single_header};
use crate::publish::{Conditions, Publication, Published, is_traceparent, stored_before};

/// `POST /v1/events` stores one event and returns 201, or 200 if it was stored before; or it stores a batch and returns 201,
/// 200, or 207 if an event was refused. With `wait=sealed` the response also contains receipts, and the header
/// `Sealbus-Sealed`.
///
/// It needs the scope `publish`. Errors: the same as of `POST /v1/plans/{plan}/events`. Errors of the events of a batch are
/// in its results.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    parameters: Parameters,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::Publish)?;
    let wait = app.seal_waiting.read(parameters)?;
    let conditions = Conditions::read(&headers)?;
    let content_type = single_header(&headers, header::CONTENT_TYPE.as_str())?;
    let media_type =
        content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_binary = headers.contains_key(format!("{HEADER_PREFIX}specversion"));
    if media_type != STRUCTURED && media_type != BATCH && !is_binary {
        let detail = format!("this path accepts {STRUCTURED}, {BATCH}, or any media type with ce- headers");
        return Err(Problem::new(ErrorKind::UnsupportedMediaType, detail));
    }
    let body = app.bodies.read(&caller.token.name, &headers, body).await?;
    if media_type == BATCH {
        return publish_batch(&app, &caller, &conditions, wait, body).await;
    }
    let format = EventFormat::of_event(&headers)?;
    let ReceivedBody { bytes, mut memory, in_flight: _in_flight } = body;
    let (mode, incoming) = if media_type == STRUCTURED {
        let event = read_one(&bytes, &app.publishing.limits)?;
        (Mode::Structured, from_structured(&event)?)
    } else {
        (Mode::Binary, from_binary(&attributes(&headers)?, content_type.as_deref(), &bytes)?)
    };
    let tenant = caller.tenant_to_publish(incoming.tenant.as_ref())?;
    let key = (tenant, incoming.plan.clone());
    let mut published = publish_to_plan(&app, &caller, &conditions, mode, key, vec![(None, incoming)]).await?;
    drop(bytes);
    if let Some(wait) = wait {
        memory = app.seal_waiting.wait(&caller.token, wait, memory, &mut published).await;
    }
    Ok(single_response(&published[0], wait, format, memory))
}

/// Publishes events of one plan, each with its place in the batch. An event that this bus has shown is not stored again.
async fn publish_to_plan(
    app: &App,
    caller: &Caller,
    conditions: &Conditions,
    mode: Mode,
    (tenant, plan): (Tenant, Plan),
    events: Vec<(Option<(usize, usize)>, Incoming)>,
) -> Result<Vec<Published>, Problem> {
    let incoming = events.iter().map(|(_, incoming)| incoming);
    let before = stored_before(&app.ledger, &app.reading, &app.answers, &caller.token, &tenant, incoming, mode).await?;
    let new = events.into_iter().zip(&before).filter(|(_, before)| before.is_none());
    let new: Vec<_> = new.map(|((place, incoming), _)| publication(incoming, place, conditions)).collect();
    let mut published = Vec::new();
    if !new.is_empty() {
        published = app.publishing.publish(caller, tenant, plan, conditions.expect, new).await?;
    }
    let mut published = published.into_iter();
    Ok(before.into_iter().filter_map(|before| before.or_else(|| published.next())).collect())
}

/// The events of one plan in a batch with their indexes, in the order of the batch.
#[derive(Default)]
struct Group {
    events: Vec<(usize, Incoming)>,
    /// The problem of the first invalid event of the plan.
    problem: Option<Problem>,
}

async fn publish_batch(
    app: &App,
    caller: &Caller,
    conditions: &Conditions,
    wait: Option<Duration>,
    body: ReceivedBody,
) -> Result<Response, Problem> {
    let refuse = |pointer, rule, detail| Refused::field(ErrorKind::InvalidField, pointer, rule, detail);
    if conditions.expect != Expect::Any {
        return Err(refuse("If-Match", "mode", "cannot be used with a batch, which may contain several plans").into());
    }
    let events = Events::new(&body.bytes, &app.publishing.limits)?;
    if !events.is_array() {
        return Err(refuse("", "type", "a batch must be an array").into());
    }
    let mut results: Vec<Option<BatchResult>> = Vec::new();
    let groups = group_by_plan(app, caller, events, &mut results)?;
    let count = results.len();
    check_not_empty(count)?;
    let publishing = groups.into_iter().map(async |(plan, Group { events, problem })| {
        let indexes: Vec<usize> = events.iter().map(|(index, _)| *index).collect();
        let events = events.into_iter().map(|(index, incoming)| (Some((index, count)), incoming)).collect();
        let outcome = match problem {
            Some(problem) => Err(problem),
            None => publish_to_plan(app, caller, conditions, Mode::Structured, plan, events).await,
        };
        (indexes, outcome)
    });
    let (mut stored_indexes, mut stored) = (Vec::new(), Vec::new());
    for (indexes, outcome) in join_all(publishing).await {
        match outcome {
            Ok(published) => {
                stored_indexes.extend(indexes);
                stored.extend(published);
            }
            Err(problem) => {
                for index in indexes {
                    results[index] = Some(refused_result(app, &problem));
                }
            }
        }
    }
    let ReceivedBody { bytes, mut memory, in_flight: _in_flight } = body;
    drop(bytes);
    if let Some(wait) = wait {
        memory = app.seal_waiting.wait(&caller.token, wait, memory, &mut stored).await;
    }
    let sealed = sealed_header(wait, &stored);
    for (index, event) in stored_indexes.into_iter().zip(stored) {
        results[index] = Some(BatchResult::Stored { status: if event.new { 201 } else { 200 }, event });
    }
    let results: Vec<BatchResult> = results.into_iter().flatten().collect();
    let status = if results.iter().any(|result| matches!(result, BatchResult::Refused { .. })) {
        StatusCode::MULTI_STATUS
    } else if results.iter().any(|result| matches!(result, BatchResult::Stored { status: 201, .. })) {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, sealed, held_json(JSON, &BTreeMap::from([("results", results)]), memory)).into_response())
}

/// Reads the events of a batch and groups them by plan. `results` gets a place for each event; those of invalid events are set.
fn group_by_plan(
    app: &App,
    caller: &Caller,
    events: Events<'_>,
    results: &mut Vec<Option<BatchResult>>,
) -> Result<HashMap<(Tenant, Plan), Group>, Refused> {
    let mut groups: HashMap<(Tenant, Plan), Group> = HashMap::new();
    for (index, event) in events.enumerate() {
        let event = event?;
        let read = from_structured(&event).and_then(|incoming| {
            let tenant = caller.tenant_to_publish(incoming.tenant.as_ref())?;
            Ok((tenant, incoming))
        });
        results.push(None);
        match read {
            Ok((tenant, incoming)) => {
                groups.entry((tenant, incoming.plan.clone())).or_default().events.push((index, incoming));
            }
            Err(refused) => {
                let problem = Problem::from(refused.within(&format!("/{index}")));
                results[index] = Some(refused_result(app, &problem));
                // If the invalid event names its plan, no event of the batch is stored in that plan.
                if let Some(key) = named_plan(caller, &event) {
                    groups.entry(key).or_default().problem.get_or_insert(problem);
                }
            }
        }
    }
    Ok(groups)
}

/// Returns the plan that an invalid event names, if it is a valid name.
fn named_plan(caller: &Caller, event: &Text) -> Option<(Tenant, Plan)> {
    let text = |name| event.node().member(name).and_then(Node::string);
    let tenant = text("tenantid").as_deref().map(Tenant::parse).transpose().ok()?;
    Some((caller.tenant_to_publish(tenant.as_ref()).ok()?, Plan::parse(&text("subject")?).ok()?))
}

fn publication(incoming: Incoming, place: Option<(usize, usize)>, conditions: &Conditions) -> Publication {
    let mut publication = conditions.publication(place, incoming.request);
    // An event's own trace context takes precedence over that of the request.
    publication.traceparent = incoming.traceparent.filter(|text| is_traceparent(text)).or(publication.traceparent);
    publication
}

/// The result of one event of a batch.
#[derive(Serialize)]
#[serde(untagged)]
enum BatchResult {
    Stored { status: u16, event: Published },
    Refused { status: u16, problem: Value },
}

/// Returns the result of a refused event, and counts it.
fn refused_result(app: &App, problem: &Problem) -> BatchResult {
    app.metrics.refused(problem.kind());
    BatchResult::Refused { status: problem.kind().status(), problem: problem.to_json() }
}

/// Returns the headers that are attributes, as text.
fn attributes(headers: &HeaderMap) -> Result<Vec<(&str, &str)>, Refused> {
    let refuse = |name: &str| {
        let detail = "must be printable ASCII, with other characters percent-encoded";
        Refused::field(ErrorKind::InvalidField, name, "pattern", detail)
    };
    let attributes = headers.iter().filter(|(name, _)| name.as_str().starts_with(HEADER_PREFIX));
    attributes.map(|(name, value)| Ok((name.as_str(), value.to_str().map_err(|_| refuse(name.as_str()))?))).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::{Value, json};

    use crate::tests::support::{Publisher, TestResponse, send};

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn cloudevent(id: &str, plan: &str, data: &Value) -> Value {
        json!({
            "specversion": "1.0", "id": id, "source": "/orders", "type": "any.thing", "subject": plan,
            "time": "2026-11-20T10:00:00Z", "datacontenttype": "application/json", "correlationid": "c",
            "priority": "low", "traceparent": TRACE, "region": "eu", "data": data,
        })
    }

    async fn post(publisher: &Publisher, media_type: &str, body: &Value) -> TestResponse {
        let call = publisher.request_as(Method::POST, "/v1/events", "acme").header("content-type", media_type);
        send(call.body(body.to_string())).await
    }

    async fn batch(publisher: &Publisher, body: &Value) -> TestResponse {
        post(publisher, "application/cloudevents-batch+json", body).await
    }

    /// Returns the status of each result of a batch.
    fn statuses(response: &TestResponse) -> Vec<u64> {
        let results =
            response.body["results"].as_array().unwrap_or_else(|| panic!("not the response to a batch: {response:?}"));
        results.iter().map(|result| result["status"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn structured_and_binary_mode_are_the_same_event() {
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
            .fold(publisher.request_as(Method::POST, "/v1/events", "acme"), |call, (name, value)| {
                call.header(name, value)
            });
        let binary = send(call.body(r#"{"a":1}"#)).await;
        assert_eq!((binary.status, &binary.body), (200, &structured.body));
    }

    #[tokio::test]
    async fn a_batch_of_several_plans_returns_one_result_per_event() {
        let publisher = Publisher::start().await;
        let events: Vec<_> = (0..6).map(|n| cloudevent(&format!("A-{n}"), ["p", "q", "r"][n % 3], &json!(n))).collect();
        let stored = batch(&publisher, &json!(events)).await;
        assert_eq!((stored.status, statuses(&stored)), (201, vec![201; 6]));
        let data: Vec<_> =
            stored.body["results"].as_array().unwrap().iter().map(|result| result["event"]["data"].clone()).collect();
        assert_eq!(data, [0, 1, 2, 3, 4, 5].map(Value::from));
        assert_eq!(publisher.events_of("q").await.len(), 2);
        let again = batch(&publisher, &json!(events)).await;
        assert_eq!((again.status, statuses(&again)), (200, vec![200; 6]));
    }

    #[tokio::test]
    async fn an_invalid_event_refuses_its_plan_and_no_other() {
        let publisher = Publisher::start().await;
        let mut unknown_type = cloudevent("A-2", "p", &json!(null));
        unknown_type["type"] = json!("nobody.knows");
        let mut malformed = cloudevent("A-4", "r", &json!(null));
        malformed["time"] = json!("noon");
        let events = json!([
            cloudevent("A-0", "p", &json!(0)),
            cloudevent("A-1", "q", &json!(1)),
            unknown_type,
            cloudevent("A-3", "r", &json!(3)),
            malformed,
        ]);
        let response = batch(&publisher, &events).await;
        assert_eq!((response.status, statuses(&response)), (207, vec![422, 201, 422, 400, 400]));
        let problem = |index: usize| response.body["results"][index]["problem"].clone();
        assert_eq!(
            (&problem(0)["code"], &problem(0)["errors"][0]["pointer"]),
            (&json!("unknown_event_type"), &json!("/2/type"))
        );
        assert_eq!(
            (&problem(3)["code"], &problem(3)["errors"][0]["pointer"]),
            (&json!("invalid_field"), &json!("/4/time"))
        );
        assert_eq!(
            [
                publisher.events_of("p").await.len(),
                publisher.events_of("q").await.len(),
                publisher.events_of("r").await.len()
            ],
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
            .request_as(Method::POST, "/v1/events", "both")
            .header("content-type", "application/cloudevents-batch+json");
        let response = send(call.body(events.to_string())).await;
        assert_eq!(statuses(&response), [201, 201, 403, 400], "{response:?}");
        assert_eq!(response.body["results"][2]["problem"]["code"], "cross_tenant");
        assert_eq!(response.body["results"][1]["event"]["tenant"], "other");
    }

    #[tokio::test]
    async fn an_idempotency_key_makes_a_batch_repeatable() {
        let publisher = Publisher::start().await;
        let mut event = cloudevent("", "p", &json!(1));
        event.as_object_mut().unwrap().remove("id");
        let post = async || {
            let call = publisher
                .request_as(Method::POST, "/v1/events", "acme")
                .header("content-type", "application/cloudevents-batch+json");
            send(call.header("idempotency-key", "k").body(json!([event, event]).to_string())).await
        };
        let (first, again) = (post().await, post().await);
        assert_eq!((statuses(&first), statuses(&again)), (vec![201, 201], vec![200, 200]));
    }

    #[tokio::test]
    async fn invalid_requests_are_refused_as_a_whole() {
        let publisher = Publisher::start().await;
        let event = cloudevent("A-1", "p", &json!(null));
        post(&publisher, "application/json", &event).await.assert_problem("unsupported_media_type");
        post(&publisher, "application/cloudevents+json", &json!([event])).await.assert_field_problem(
            "invalid_field",
            "",
            "type",
        );
        post(&publisher, "application/cloudevents+json", &json!({ "specversion": "0.3" })).await.assert_field_problem(
            "invalid_field",
            "/specversion",
            "const",
        );
        batch(&publisher, &event).await.assert_field_problem("invalid_field", "", "type");
        batch(&publisher, &json!([])).await.assert_field_problem("invalid_field", "", "minItems");
        let call = publisher
            .request_as(Method::POST, "/v1/events", "acme")
            .header("content-type", "application/cloudevents-batch+json");
        send(call.header("if-match", "\"1\"").body("[]")).await.assert_field_problem(
            "invalid_field",
            "If-Match",
            "mode",
        );
        let call = publisher
            .request_as(Method::POST, "/v1/events", "acme")
            .header("content-type", "application/cloudevents+json");
        send(call.body("{")).await.assert_problem("json_syntax");
        let mut other = event.clone();
        other["tenantid"] = json!("other");
        post(&publisher, "application/cloudevents+json", &other).await.assert_problem("cross_tenant");
    }
}
