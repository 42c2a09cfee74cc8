//! `GET /v1/events/stream`: all events as they are sealed, in log order, over Server-Sent Events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::tokens::Scope;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::read::streams::{Source, begin, open};

pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenants = caller.log()?;
    let after = begin(&headers, &mut parameters)?;
    parameters.end()?;
    open(&app, &caller, Source::Log, tenants, after).await
}
