//! `GET /v1/plans/{plan}/events/stream`: a plan's events as they happen, over Server-Sent Events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::tokens::Scope;
use crate::http::parameters::Parameters;
use crate::http::path::PlanPath;
use crate::http::problem::Problem;
use crate::read::streams::{Source, begin, open};

pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.reads()?;
    let after = begin(&headers, &mut parameters)?;
    parameters.end()?;
    open(&app, &caller, Source::Plan(tenant, plan), None, after).await
}
