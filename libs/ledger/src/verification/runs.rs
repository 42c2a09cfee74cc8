//! The order in which plans are read, by their numbers, and which of them one statement reads.

use sealbus_core::partition::PlanKey;

use super::Scope;
use crate::pg::bound;
use crate::{Ledger, LedgerError};

/// Plans whose names are read at a time.
const PLAN_PAGE: i64 = 10_000;
/// The highest number of plans that one statement reads. It saves a round trip for each plan of a ledger with small plans.
const MAX_RUN_PLANS: usize = 32;

/// Plans that one statement reads. No plan out of scope has a number between the first and the last.
pub(super) struct Run {
    pub plans: Vec<PlanToRead>,
}

/// A plan to read, and where to begin. Its columns are null only if the row was written by hand.
pub(super) struct PlanToRead {
    pub plan_no: i64,
    pub tenant: Option<String>,
    pub plan: Option<String>,
    pub partition: Option<i32>,
    /// The first new event; `None` to read the whole plan.
    pub from_seq: Option<i64>,
}

/// The runs of a verification, page by page.
pub(super) struct Runs<'a> {
    ledger: &'a Ledger,
    scope: &'a Scope,
    since: u64,
    after: i64,
}

impl PlanToRead {
    /// Returns the tenant and the plan for findings. Without a name, a plan is named by its number.
    pub(super) fn name(&self) -> (String, String) {
        let number = || format!("(plan number {})", self.plan_no);
        (self.tenant.clone().unwrap_or_default(), self.plan.clone().unwrap_or_else(number))
    }

    /// Returns what is wrong with the row of the plan in a ledger with this number of partitions.
    pub(super) fn fault(&self, partitions: u32) -> Option<&'static str> {
        let (Some(tenant), Some(plan)) = (&self.tenant, &self.plan) else {
            return Some("the row of the plan has no tenant or no name");
        };
        let partition = PlanKey::of(tenant, plan).partition(partitions);
        let is_stored = self.partition.is_some_and(|stored| u32::try_from(stored) == Ok(partition));
        (!is_stored).then_some("the row of the plan does not have the partition of its name")
    }
}

impl<'a> Runs<'a> {
    /// Returns the runs of the plans in scope, after the plan `after` if that exists.
    pub(super) async fn begin(
        ledger: &'a Ledger,
        scope: &'a Scope,
        since: u64,
        after: Option<&(String, String)>,
    ) -> Result<Self, LedgerError> {
        let after = match after {
            None => i64::MIN,
            Some((tenant, plan)) => ledger.history().plan_no(tenant, plan).await?.unwrap_or(i64::MIN),
        };
        Ok(Self { ledger, scope, since, after })
    }

    /// Returns the next runs; an empty list at the end.
    pub(super) async fn next_page(&mut self) -> Result<Vec<Run>, LedgerError> {
        let (tenant, plan) = self.scope.names();
        let plans = if self.since == 0 {
            let plans = sqlx::query_as!(
                PlanToRead,
                r#"-- plans_to_read
                SELECT plan_no, tenant AS "tenant?", plan AS "plan?", partition AS "partition?", NULL::bigint AS from_seq FROM sealbus.plans
                WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR plan = $2) AND plan_no > $3
                ORDER BY plan_no LIMIT $4"#,
                tenant,
                plan,
                self.after,
                PLAN_PAGE,
            );
            plans.fetch_all(self.ledger.reads()).await?
        } else {
            // Only plans that have new leaves, or events in the seal queue.
            let plans = sqlx::query_as!(
                PlanToRead,
                r#"-- plans_since
                SELECT p.plan_no, p.tenant AS "tenant?", p.plan AS "plan?", p.partition AS "partition?", n.seq AS from_seq
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
                bound(self.since),
                tenant,
                plan,
                self.after,
                PLAN_PAGE,
            );
            plans.fetch_all(self.ledger.reads()).await?
        };
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

    /// Returns whether one statement may read the plan together with the run before it.
    fn continues(&self, run: &Run, plan: &PlanToRead) -> bool {
        let next = run.plans.last().is_some_and(|last| last.plan_no + 1 == plan.plan_no);
        let whole = |plan: &PlanToRead| plan.from_seq.is_none();
        run.plans.len() < MAX_RUN_PLANS
            && run.plans.iter().all(whole)
            && whole(plan)
            && (next || *self.scope == Scope::Everything)
    }
}
