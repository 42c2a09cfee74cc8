//! `GET /v1/events/stream`: sealed events in log order, live.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::token::Scope;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::read::streams::{Source, resume_position};

/// `GET /v1/events/stream` returns 200 with a stream of Server-Sent Events, which starts after the log index in
/// `Last-Event-ID` or `after`, or else now.
///
/// It needs the scope `read`, and contains the same tenants as `GET /v1/events`. Errors: `overloaded` if the replica has
/// reached its limit of open streams.
pub(super) async fn handle(
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
