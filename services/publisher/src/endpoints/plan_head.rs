//! `GET /v1/plans/{plan}/head`: a plan's last event, or its last sealed one below a log index.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use sealbus_core::error::ErrorKind;
use serde_json::json;

use crate::answers::{json, with_header};
use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::path::PlanPath;
use crate::problem::Problem;
use crate::tokens::Scope;

pub async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.reads()?;
    let below_index = parameters.number("below_index")?;
    parameters.end()?;
    let head = app.ledger.head(&tenant, &plan, below_index).await?;
    let head = head.ok_or_else(|| Problem::new(ErrorKind::NotFound, "the plan has no such event"))?;
    let answer = json(StatusCode::OK, &json!({ "seq": head.seq, "hash": head.hash }));
    Ok(with_header(answer, header::ETAG, &format!("\"{}\"", head.seq)))
}
