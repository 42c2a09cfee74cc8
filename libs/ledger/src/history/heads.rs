//! Heads of many plans in one look: what a publisher's live streams ask at each tick.

use sealbus_core::names::{Plan, Tenant};

use super::History;
use crate::LedgerError;

impl History<'_> {
    /// The seq of each plan's last event, in the order asked; 0 for a plan without one.
    pub async fn heads(self, plans: &[(Tenant, Plan)]) -> Result<Vec<u64>, LedgerError> {
        let tenants: Vec<String> = plans.iter().map(|(tenant, _)| tenant.to_string()).collect();
        let names: Vec<String> = plans.iter().map(|(_, plan)| plan.to_string()).collect();
        let heads = sqlx::query_scalar!(
            r#"-- heads
            SELECT coalesce(h.seq, 0) AS "seq!"
            FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (tenant, plan, at)
            LEFT JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan
            LEFT JOIN LATERAL (
                SELECT e.seq FROM sealbus.events e WHERE e.plan_no = p.plan_no ORDER BY e.seq DESC LIMIT 1
            ) h ON true
            ORDER BY w.at"#,
            &tenants,
            &names,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(heads.into_iter().map(i64::unsigned_abs).collect())
    }
}
