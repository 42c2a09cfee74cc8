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
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{check_count, read_value};
use sealbus_ledger::append::{Appended, Expect};
use serde_json::{Value, json};

use super::publish::single_answer;
use crate::answers::{Form, json};
use crate::app::App;
use crate::caller::{Caller, single};
use crate::problem::Problem;
use crate::publishing::{Conditions, Publication, is_traceparent};
use crate::tokens::Scope;

pub async fn handle(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    caller.require(Scope::Publish)?;
    let conditions = Conditions::read(&headers)?;
    let content_type = single(&headers, header::CONTENT_TYPE.as_str())?;
    let essence = content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let binary = headers.contains_key(format!("{HEADER_PREFIX}specversion"));
    if essence != STRUCTURED && essence != BATCH && !binary {
        let detail = format!("this path takes {STRUCTURED}, {BATCH}, or any type with ce- headers");
        return Err(Problem::new(ErrorKind::UnsupportedMediaType, detail));
    }
    let taken = app.intake.take(&headers, body).await?;
    if essence == BATCH {
        return batch(&app, &caller, &conditions, read_value(&taken.bytes, &app.limits)?).await;
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
    Ok(single_answer(first, Form::accepted(&headers)))
}

/// The events of one plan in a batch, in the batch's order, or what is wrong with the first faulty one of them.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    publications: Vec<Publication>,
    problem: Option<Problem>,
}

async fn batch(app: &App, caller: &Caller, conditions: &Conditions, body: Value) -> Result<Response, Problem> {
    if conditions.expect != Expect::Any {
        return Err(Refused::field(ErrorKind::InvalidField, "If-Match", "mode", "does not go with a batch, which has many plans").into());
    }
    let Value::Array(events) = body else {
        return Err(Refused::field(ErrorKind::InvalidField, "", "type", "a batch is an array").into());
    };
    check_count(events.len(), &app.limits)?;
    let mut results: Vec<Option<Value>> = vec![None; events.len()];
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
    for (places, outcome) in join_all(published).await {
        match outcome {
            Ok(appended) => places.into_iter().zip(&appended).for_each(|(at, event)| results[at] = Some(stored(event))),
            Err(problem) => places.into_iter().for_each(|at| results[at] = Some(refusal(app, &problem))),
        }
    }
    let results: Vec<Value> = results.into_iter().flatten().collect();
    let any = |status: u64| results.iter().any(|result| result["status"] == status);
    let status = if results.iter().any(|result| result.get("problem").is_some()) {
        StatusCode::MULTI_STATUS
    } else if any(201) {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(json(status, &json!({ "results": results })))
}

fn read(caller: &Caller, event: Value, at: usize, conditions: &Conditions) -> Result<(Tenant, Plan, Publication), Refused> {
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

fn stored(event: &Appended) -> Value {
    json!({ "status": if event.new { 201 } else { 200 }, "event": event.record.to_json() })
}

fn refusal(app: &App, problem: &Problem) -> Value {
    app.metrics.refused(problem.kind());
    json!({ "status": problem.kind().status(), "problem": problem.to_json() })
}

fn attributes(headers: &HeaderMap) -> Result<Vec<(&str, &str)>, Refused> {
    let refuse = |name: &str| Refused::field(ErrorKind::InvalidField, name, "pattern", "is printable ASCII, percent-encoded beyond that");
    headers.iter().map(|(name, value)| Ok((name.as_str(), value.to_str().map_err(|_| refuse(name.as_str()))?))).collect()
}
