//! `GET /v1/plans/{plan}/verification`: a plan's chain, checked event by event.
//!
//! This is the service's own word. Who does not trust the service runs `sealbus verify`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sealbus_core::error::ErrorKind;
use sealbus_core::verify::{Finding, Verdict};
use sealbus_ledger::verification::Scope as What;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::tokens::Scope;
use crate::http::answers::json;
use crate::http::parameters::Parameters;
use crate::http::path::PlanPath;
use crate::http::problem::Problem;

pub(super) async fn handle(
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
    let verified = app.ledger.verification().verify_chains(&What::Plan(tenant, plan.clone()), &app.keyring).await?;
    if verified.plans == 0 {
        return Err(Problem::new(ErrorKind::NotFound, "there is no such plan"));
    }
    // What is wrong with the plan of keys, which is checked too, is for the operator.
    let mut findings: Vec<Finding> =
        verified.findings.into_iter().filter(|finding| finding.plan == plan.as_str()).collect();
    findings.sort_by_key(|finding| finding.seq);
    let mut answer = json!({
        "plan": plan.as_str(), "verdict": "ok", "events": verified.events, "sealed": verified.sealed,
        "findings": findings.iter().map(shown).collect::<Vec<_>>(),
    });
    // What was erased is told, and is not wrong.
    if let Some(first) = findings.iter().find(|finding| finding.verdict != Verdict::Erased) {
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

#[cfg(test)]
mod tests {
    use sealbus_testkit::Postgres;
    use serde_json::json;

    use crate::tests::support::{Publisher, ledger_in};

    #[tokio::test]
    async fn a_plan_that_holds_and_one_that_was_changed() {
        let postgres = Postgres::start().await;
        let publisher = Publisher::on(ledger_in(&postgres).await, |_| {}).await;
        let events = vec![json!({ "type": "any.a", "data": { "amount": "1" } }); 7];
        assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
        publisher.seal().await;
        let verified = publisher.get("/v1/plans/p/verification", "acme").await;
        assert_eq!(verified.body, json!({ "plan": "p", "verdict": "ok", "events": 7, "sealed": 7, "findings": [] }));
        postgres
            .admin("SET session_replication_role = replica; UPDATE sealbus.events SET payload = '{\"amount\":\"9\"}' WHERE tenant = 'acme' AND seq = 3; DELETE FROM sealbus.events WHERE tenant = 'acme' AND seq = 5")
            .await;
        let verified = publisher.get("/v1/plans/p/verification", "acme").await.body;
        assert_eq!(
            (&verified["verdict"], &verified["seq"], &verified["index"]),
            (&json!("PAYLOAD_HASH"), &json!(3), &json!(2)),
            "{verified}"
        );
        let found: Vec<_> = verified["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| (finding["seq"].clone(), finding["verdict"].clone()))
            .collect();
        assert_eq!(found, [(json!(3), json!("PAYLOAD_HASH")), (json!(5), json!("SEQ_GAP"))]);
    }

    #[tokio::test]
    async fn a_plan_that_is_not_there_is_not_ok() {
        let publisher = Publisher::start().await;
        publisher.get("/v1/plans/nobody/verification", "acme").await.is_problem("not_found");
    }
}
