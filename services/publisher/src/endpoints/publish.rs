//! `POST /v1/plans/{plan}/events`: one event, or an array that is atomic.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use sealbus_core::cloudevents::is_json;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::request::read_body;
use sealbus_ledger::append::Appended;
use serde_json::json;

use crate::answers::{Form, event, json, with_header};
use crate::app::App;
use crate::caller::{Caller, single};
use crate::path::PlanPath;
use crate::problem::Problem;
use crate::publishing::{Conditions, Publication};
use crate::tokens::Scope;

pub async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: PlanPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::Publish)?;
    let plan = path.publishable()?;
    let tenant = caller.publishes(None)?;
    let conditions = Conditions::read(&headers)?;
    check_media_type(&headers)?;
    let taken = app.intake.take(&headers, body).await?;
    let (requests, array) = read_body(&taken.bytes, &app.limits)?;
    let publications: Vec<_> = requests
        .into_iter()
        .enumerate()
        .map(|(at, request)| Publication {
            at: array.then_some(at),
            request,
            traceparent: conditions.traceparent.clone(),
            key: conditions.key.as_ref().map(|key| if array { format!("{key}/{at}") } else { key.clone() }),
        })
        .collect();
    let appended = app.publish(&caller, tenant, plan.clone(), conditions.expect, &publications).await?;
    let first = appended.first().ok_or_else(|| Problem::new(ErrorKind::Internal, "the ledger gave no record"))?;
    let (body, location) = if array {
        let events: Vec<_> = appended.iter().map(|event| event.record.to_json()).collect();
        let location = format!("/v1/plans/{plan}/events?from_seq={}", first.record.header.seq);
        (json(status(&appended), &json!({ "events": events })), location)
    } else {
        return Ok(single_answer(first, Form::accepted(&headers)));
    };
    let last = appended.iter().map(|event| event.record.header.seq).max().unwrap_or_default();
    Ok(with_header(with_header(body, header::LOCATION, &location), header::ETAG, &format!("\"{last}\"")))
}

/// The answer to one event: its record, where it is found again, and its seq as `ETag`.
pub fn single_answer(appended: &Appended, form: Form) -> Response {
    let header = &appended.record.header;
    let answer = event(status(std::slice::from_ref(appended)), form, &appended.record);
    let answer = with_header(answer, header::LOCATION, &format!("/v1/events/{}", header.event_id));
    with_header(answer, header::ETAG, &format!("\"{}\"", header.seq))
}

/// 201 where anything is new, 200 where all of it was there already.
pub fn status(appended: &[Appended]) -> StatusCode {
    if appended.iter().any(|event| event.new) { StatusCode::CREATED } else { StatusCode::OK }
}

/// JSON, or no type at all.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refused> {
    match single(headers, header::CONTENT_TYPE.as_str())? {
        Some(media_type) if !is_json(&media_type) || media_type.starts_with("application/cloudevents") => {
            let detail = "this path takes application/json; CloudEvents go to /v1/events";
            Err(Refused::new(ErrorKind::UnsupportedMediaType, detail))
        }
        _ => Ok(()),
    }
}
