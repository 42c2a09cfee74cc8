//! `GET /v1/events/{id}/data`: an event in the binary mode of CloudEvents, its data as it was published and its attributes
//! as headers. What is not JSON comes back as its own bytes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::cloudevents::to_binary;
use sealbus_core::error::ErrorKind;

use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::path::IdPath;
use crate::problem::Problem;
use crate::tokens::Scope;

pub async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.reads()?;
    parameters.end()?;
    let record = app.ledger.event(&tenant, id).await?;
    let record = record.ok_or_else(|| Problem::new(ErrorKind::NotFound, "the tenant has no event with this id"))?;
    let (attributes, body) = to_binary(&record);
    let mut answer = (StatusCode::OK, body).into_response();
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    // A producer's page or script is data here, whatever it calls itself.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    for (name, value) in attributes {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    Ok(answer)
}
