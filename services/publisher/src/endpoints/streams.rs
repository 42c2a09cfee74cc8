//! Live streams of a plan's events, and of the sealed events of the log.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{Parameters, PlanPath, Problem};
use crate::read::{Source, resume_position};

/// `GET /v1/plans/{plan}/events/stream` returns 200 with a stream of Server-Sent Events, which starts after the seq in
/// `Last-Event-ID` or `after`, or else now. The plan need not have events yet.
///
/// It needs the scope `read`. Errors: `overloaded` if the replica has reached its limit of open streams.
pub(super) async fn plan(
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

/// `GET /v1/events/stream` returns 200 with a stream of Server-Sent Events in log order, which starts after the log index in
/// `Last-Event-ID` or `after`, or else now.
///
/// It needs the scope `read`, and contains the same tenants as `GET /v1/events`. Errors: `overloaded` if the replica has
/// reached its limit of open streams.
pub(super) async fn log(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenants = caller.tenants_in_log()?;
    let after = resume_position(&headers, &mut parameters)?;
    parameters.finish()?;
    app.streams.open(&caller, Source::Log, tenants, after).await
}
