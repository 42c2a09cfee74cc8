//! `GET /v1/events/{id}`: one event of the tenant.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use sealbus_core::error::ErrorKind;

use crate::answers::{Form, event};
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
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.reads()?;
    parameters.end()?;
    let record = app.ledger.event(&tenant, id).await?;
    let record = record.ok_or_else(|| Problem::new(ErrorKind::NotFound, "the tenant has no event with this id"))?;
    Ok(event(StatusCode::OK, Form::accepted(&headers), &record))
}
