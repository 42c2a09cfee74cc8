//! `GET /v1/plans/{plan}/verification`: the verification of a plan's chain, event by event.
//!
//! The result is only as trustworthy as this service. `sealbus verify` checks a ledger or a bundle independently.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealbus_core::error::ErrorKind;
use sealbus_core::verify::{Finding, Verdict};
use sealbus_ledger::verification;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{Parameters, PlanPath, Problem};

/// `GET /v1/plans/{plan}/verification` returns 200 with the verdict `ok`, or the verdict and place of the first finding, and
/// all findings.
///
/// It needs the scope `verify`. Errors: `not_found` if the plan does not exist, `overloaded` if too many verifications are in
/// flight.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Verify)?;
    let tenant = caller.tenant_to_read()?;
    parameters.finish()?;
    let Ok(_permit) = app.verifications.try_acquire() else {
        return Err(Problem::new(ErrorKind::Overloaded, "too many plans are being verified"));
    };
    let scope = verification::Scope::Plan(tenant, plan.clone());
    let verified = app.ledger.verification().verify_chains(&scope, &app.keyring).await?;
    if verified.plans == 0 {
        return Err(Problem::new(ErrorKind::NotFound, "the plan does not exist"));
    }
    // The plan of signing keys is verified too. Its findings are for the operator, not for clients.
    let mut findings: Vec<Finding> =
        verified.findings.into_iter().filter(|finding| finding.plan == plan.as_str()).collect();
    findings.sort_by_key(|finding| finding.seq);
    let mut body = json!({
        "plan": plan.as_str(), "verdict": "ok", "events": verified.events, "sealed": verified.sealed,
        "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
    });
    // An erased payload is reported, but is not a fault.
    if let Some(first) = findings.iter().find(|finding| finding.verdict != Verdict::Erased) {
        body["verdict"] = json!(first.verdict.as_str());
        body["seq"] = json!(first.seq);
        body["index"] = json!(first.seq.saturating_sub(1));
    }
    Ok(Json(body))
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "seq": finding.seq, "index": finding.seq.saturating_sub(1),
        "verdict": finding.verdict.as_str(), "detail": finding.detail,
    })
}

#[cfg(test)]
mod tests {
    use sealbus_testkit::Postgres;
    use serde_json::json;

    use crate::tests::support::{Publisher, create_ledger};

    #[tokio::test]
    async fn an_intact_plan_is_ok_and_a_changed_one_has_findings() {
        let postgres = Postgres::start().await;
        let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
        let events = vec![json!({ "type": "any.a", "data": { "amount": "1" } }); 7];
        assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
        publisher.seal().await;

        // The plan is intact.
        let verified = publisher.get("/v1/plans/p/verification", "acme").await;
        assert_eq!(verified.body, json!({ "plan": "p", "verdict": "ok", "events": 7, "sealed": 7, "findings": [] }));

        // Change one event and delete another, bypassing the triggers.
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
    async fn a_plan_that_does_not_exist_is_not_found() {
        let publisher = Publisher::start().await;
        publisher.get("/v1/plans/nobody/verification", "acme").await.assert_problem("not_found");
    }
}
