//! `GET /v1/plans/{plan}/events/stream`: a plan's events, live.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::token::Scope;
use crate::http::parameters::Parameters;
use crate::http::path::PlanPath;
use crate::http::problem::Problem;
use crate::read::streams::{Source, resume_position};

/// `GET /v1/plans/{plan}/events/stream` returns 200 with a stream of Server-Sent Events, which starts after the seq in
/// `Last-Event-ID` or `after`, or else now. The plan need not have events yet.
///
/// It needs the scope `read`. Errors: `overloaded` if the replica has reached its limit of open streams.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    let after = resume_position(&headers, &mut parameters)?;
    parameters.finish()?;
    app.streams.open(&caller, Source::Plan(tenant, plan), None, after).await
}
