//! `GET /v1/plans`: names of a tenant's plans, in byte order.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use serde_json::json;

use crate::answers::{json, with_header};
use crate::app::App;
use crate::caller::Caller;
use crate::links;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::tokens::Scope;

pub async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.reads()?;
    let prefix = parameters.text("prefix")?.unwrap_or_default();
    let after = parameters.text("after")?.unwrap_or_default();
    let limit = parameters.limit()?;
    parameters.end()?;
    let mut plans = app.ledger.plans(&tenant, &prefix, &after, limit + 1).await?;
    let more = plans.len() > limit as usize;
    plans.truncate(limit as usize);
    let next = plans.last().filter(|_| more).cloned();
    let answer = json(StatusCode::OK, &json!({ "plans": plans, "next": next }));
    Ok(match next {
        // A plan's name may hold `+` and `=`, which a query reads as something else.
        Some(name) => with_header(answer, header::LINK, &links::next(&uri, "after", &name.replace('+', "%2B").replace('=', "%3D"))),
        None => answer,
    })
}
