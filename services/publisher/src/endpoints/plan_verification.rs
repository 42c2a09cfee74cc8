//! `GET /v1/plans/{plan}/verification`: a plan's chain, checked event by event.
//!
//! This is the service's own word. Who does not trust the service runs `sealbus verify`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sealbus_core::error::ErrorKind;
use sealbus_core::verify::Finding;
use sealbus_ledger::verification::{Progress, Scope as What};
use serde_json::{Value, json};

use crate::answers::json;
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
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Verify)?;
    let tenant = caller.reads()?;
    parameters.end()?;
    let Ok(_turn) = app.verifications.try_acquire() else {
        return Err(Problem::new(ErrorKind::Overloaded, "other plans are being verified already"));
    };
    let mut findings: Vec<Finding> = Vec::new();
    let what = What::Plan(tenant, plan.clone());
    let verified = app.ledger.verify(&what, &app.keyring, |progress| {
        if let Progress::Found(finding) = progress {
            findings.push(finding.clone());
        }
    });
    let verified = verified.await?;
    if verified.plans == 0 {
        return Err(Problem::new(ErrorKind::NotFound, "there is no such plan"));
    }
    findings.sort_by_key(|finding| finding.seq);
    let mut answer = json!({
        "plan": plan.as_str(), "verdict": "ok", "events": verified.events, "sealed": verified.sealed,
        "findings": findings.iter().map(shown).collect::<Vec<_>>(),
    });
    if let Some(first) = findings.first() {
        answer["verdict"] = json!(first.verdict.as_str());
        answer["seq"] = json!(first.seq);
        answer["index"] = json!(first.seq.saturating_sub(1));
    }
    Ok(json(StatusCode::OK, &answer))
}

fn shown(finding: &Finding) -> Value {
    json!({
        "seq": finding.seq, "index": finding.seq.saturating_sub(1),
        "verdict": finding.verdict.as_str(), "detail": finding.detail,
    })
}
