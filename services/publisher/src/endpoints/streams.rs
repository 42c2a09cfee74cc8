//! Live streams of a plan's events, and of the sealed events of the log.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use sealbus_runtime::net::Connection;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{Parameters, PlanPath, Problem};
use crate::read::{Source, resume_position};

/// `GET /v1/plans/{plan}/events/stream` returns 200 with a stream of Server-Sent Events, which starts after the seq in
/// `Last-Event-ID` or `after`, or else now. The plan need not have events yet.
///
/// It needs the scope `read`. Errors: `overloaded` if the replica has no further stream for the token, `invalid_cursor` if the
/// plan has no event with that seq yet.
pub(super) async fn plan(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(connection): Extension<Connection>,
    PlanPath(plan): PlanPath,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    let after = resume_position(&headers, &mut parameters)?;
    parameters.finish()?;
    app.streams.open(&caller, connection, Source::Plan(tenant, plan), None, after).await
}

/// `GET /v1/events/stream` returns 200 with a stream of Server-Sent Events in log order, which starts after the log index in
/// `Last-Event-ID` or `after`, or else now.
///
/// It needs the scope `read`, and contains the same tenants as `GET /v1/events`. Errors: `overloaded` if the replica has
/// no further stream for the token, `invalid_cursor` if the log has no such index yet.
pub(super) async fn log(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenants = caller.tenants_in_log()?;
    let after = resume_position(&headers, &mut parameters)?;
    parameters.finish()?;
    app.streams.open(&caller, connection, Source::Log, tenants, after).await
}
