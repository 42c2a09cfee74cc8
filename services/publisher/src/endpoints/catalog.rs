//! `GET /v1/catalog`: the types that may be published, with their schemas and policies.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::answers::json;
use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::tokens::Scope;

pub async fn handle(State(app): State<Arc<App>>, caller: Caller, parameters: Parameters) -> Result<Response, Problem> {
    // Who publishes needs to know what may be published.
    if !caller.token.may(Scope::Publish) {
        caller.require(Scope::Read)?;
    }
    parameters.end()?;
    Ok(json(StatusCode::OK, &app.catalog.to_json()))
}
