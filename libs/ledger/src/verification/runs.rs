//! Which plans are read, and in which portions: by their numbers, in the order of which they lie in the index.

use super::Scope;
use crate::{Ledger, LedgerError};

/// Plans whose names are read at a time.
const PAGE: i64 = 10_000;
/// Plans that one statement reads: so many that a ledger of small plans does not wait for a round trip for each.
const PLANS_A_RUN: usize = 32;

/// Plans that one statement reads, all or none of those between the first and the last.
pub(super) struct Run {
    pub plans: Vec<PlanToRead>,
}

/// A plan, and where in it to begin.
pub(super) struct PlanToRead {
    pub plan_no: i64,
    pub tenant: String,
    pub plan: String,
    /// The first event that is new; none where the whole plan is read.
    pub from_seq: Option<i64>,
}

/// All portions of a verification, page by page.
pub(super) struct Runs<'a> {
    ledger: &'a Ledger,
    scope: &'a Scope,
    since: u64,
    after: i64,
}

impl<'a> Runs<'a> {
    pub(super) async fn begin(
        ledger: &'a Ledger,
        scope: &'a Scope,
        since: u64,
        behind: Option<&(String, String)>,
    ) -> Result<Self, LedgerError> {
        let after = match behind {
            None => i64::MIN,
            Some((tenant, plan)) => {
                let number = sqlx::query_scalar!(
                    "-- plan_number\nSELECT plan_no FROM sealbus.plans WHERE tenant = $1 AND plan = $2",
                    tenant,
                    plan,
                );
                number.fetch_optional(ledger.pool()).await?.unwrap_or(i64::MIN)
            }
        };
        Ok(Self { ledger, scope, since, after })
    }

    /// The next portions; none at the end.
    pub(super) async fn next_page(&mut self) -> Result<Vec<Run>, LedgerError> {
        let plans = if self.since == 0 { self.plans().await? } else { self.plans_since().await? };
        if let Some(last) = plans.last() {
            self.after = last.plan_no;
        }
        let mut runs: Vec<Run> = Vec::new();
        for plan in plans {
            match runs.last_mut().filter(|run| self.continues(run, &plan)) {
                Some(run) => run.plans.push(plan),
                None => runs.push(Run { plans: vec![plan] }),
            }
        }
        Ok(runs)
    }

    /// Whether one statement may read the plan with those before it: no plan out of scope lies between them.
    fn continues(&self, run: &Run, plan: &PlanToRead) -> bool {
        let next = run.plans.last().is_some_and(|last| last.plan_no + 1 == plan.plan_no);
        let whole = |plan: &PlanToRead| plan.from_seq.is_none();
        run.plans.len() < PLANS_A_RUN
            && run.plans.iter().all(whole)
            && whole(plan)
            && (next || *self.scope == Scope::Everything)
    }

    async fn plans(&self) -> Result<Vec<PlanToRead>, LedgerError> {
        let (tenant, plan) = self.scope.names();
        let plans = sqlx::query_as!(
            PlanToRead,
            r#"-- plans_to_read
            SELECT plan_no, tenant, plan, NULL::bigint AS from_seq FROM sealbus.plans
            WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR plan = $2) AND plan_no > $3
            ORDER BY plan_no LIMIT $4"#,
            tenant,
            plan,
            self.after,
            PAGE,
        );
        Ok(plans.fetch_all(self.ledger.pool()).await?)
    }

    /// Plans with leaves since then, or with events in the queue.
    async fn plans_since(&self) -> Result<Vec<PlanToRead>, LedgerError> {
        let (tenant, plan) = self.scope.names();
        let plans = sqlx::query_as!(
            PlanToRead,
            r#"-- plans_since
            SELECT p.plan_no, p.tenant, p.plan, n.seq AS from_seq
            FROM (
                SELECT plan_no, min(seq) AS seq FROM (
                    SELECT plan_no, seq FROM sealbus.log_leaves WHERE log_id = $1 AND leaf_index >= $2
                    UNION ALL
                    SELECT plan_no, seq FROM sealbus.seal_queue
                ) new GROUP BY plan_no
            ) n JOIN sealbus.plans p ON p.plan_no = n.plan_no
            WHERE ($3::text IS NULL OR p.tenant = $3) AND ($4::text IS NULL OR p.plan = $4) AND p.plan_no > $5
            ORDER BY p.plan_no LIMIT $6"#,
            self.ledger.deployment().log_id,
            i64::try_from(self.since).unwrap_or(i64::MAX),
            tenant,
            plan,
            self.after,
            PAGE,
        );
        Ok(plans.fetch_all(self.ledger.pool()).await?)
    }
}
