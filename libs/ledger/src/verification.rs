//! Checking what is stored: every chain of a plan, a tenant, or the whole ledger, at bounded memory.
//!
//! The rules are `sealbus_core::verify`'s; here rows are read for them, straight from the tables and not through anything
//! that could have been told to look away.

use futures::TryStreamExt;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_core::verify::{ChainCheck, Finding, Trust};

use crate::record::{RecordRow, select_records};
use crate::{Ledger, LedgerError};

/// Plans whose names are read at a time.
const PLANS_A_PAGE: i64 = 500;

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every plan of every tenant.
    Everything,
    /// Every plan of one tenant.
    Tenant(Tenant),
    /// One plan.
    Plan(Tenant, Plan),
}

/// What checking came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Events read.
    pub events: u64,
    /// Plans read.
    pub plans: u64,
    /// Events that have a leaf in the log.
    pub sealed: u64,
    /// MACs passed over because their secret is not in the keyring.
    pub unchecked: u64,
}

/// Something that a caller may want to show.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Something is wrong.
    Found(&'a Finding),
    /// A plan is done: events read so far, over all plans.
    Events(u64),
}

impl Ledger {
    /// Checks the chains in scope, telling of findings and progress as it goes.
    ///
    /// # Errors
    /// Only where the ledger cannot be read; what is wrong with it is a finding.
    pub async fn verify(
        &self,
        scope: &Scope,
        keyring: &Keyring,
        mut tell: impl FnMut(Progress<'_>),
    ) -> Result<Verified, LedgerError> {
        let trust = self.trust(keyring).await?;
        let mut verified = Verified::default();
        // A seal is worth what its key is: whatever is checked, the plan that says which keys count is checked with it.
        if !scope.holds_keys() {
            for plan in self.plans_in(&Scope::Plan(Tenant::system(), Plan::keys()), None).await? {
                self.verify_plan(&plan, &trust, &mut Verified::default(), &mut tell).await?;
            }
        }
        let mut after = None;
        loop {
            let plans = self.plans_in(scope, after.as_ref()).await?;
            let Some(last) = plans.last() else { break };
            after = Some((last.tenant.clone(), last.plan.clone()));
            for plan in plans {
                self.verify_plan(&plan, &trust, &mut verified, &mut tell).await?;
                tell(Progress::Events(verified.events));
            }
        }
        Ok(verified)
    }

    /// Events in scope, for a progress bar.
    pub async fn events_in(&self, scope: &Scope) -> Result<u64, LedgerError> {
        let (tenant, plan) = scope.names();
        let events = sqlx::query_scalar!(
            r#"-- events_in
            SELECT count(*) AS "events!" FROM sealbus.events e JOIN sealbus.plans p USING (plan_no)
            WHERE ($1::text IS NULL OR p.tenant = $1) AND ($2::text IS NULL OR p.plan = $2)"#,
            tenant,
            plan,
        )
        .fetch_one(self.pool())
        .await?;
        Ok(events.unsigned_abs())
    }

    async fn verify_plan(
        &self,
        plan: &PlanRow,
        trust: &Trust,
        verified: &mut Verified,
        tell: &mut impl FnMut(Progress<'_>),
    ) -> Result<(), LedgerError> {
        let mut check = ChainCheck::new(trust, &plan.tenant, &plan.plan);
        let mut rows = select_records!(
            "verify_plan",
            "",
            "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             WHERE e.plan_no = $1 ORDER BY e.seq",
            plan.plan_no
        )
        .fetch(self.pool());
        while let Some(row) = rows.try_next().await? {
            for finding in self.check_row(&mut check, row) {
                tell(Progress::Found(&finding));
            }
        }
        let summary = check.finish();
        summary.findings.iter().for_each(|finding| tell(Progress::Found(finding)));
        verified.plans += 1;
        verified.events += summary.events;
        verified.sealed += summary.sealed;
        verified.unchecked += summary.unchecked;
        Ok(())
    }

    fn check_row(&self, check: &mut ChainCheck<'_>, row: RecordRow) -> Vec<Finding> {
        let (seq, event_hash, log_index) = (row.seq, Hash::from_slice(&row.event_hash), row.log_index);
        match row.into_record(&self.deployment().origin) {
            Ok(record) => check.next(&record),
            Err(error) => {
                let (seq, log_index) =
                    (u64::try_from(seq).unwrap_or(0), log_index.and_then(|index| u64::try_from(index).ok()));
                check.next_malformed(seq, event_hash, log_index, &error.to_string())
            }
        }
    }

    /// What the keyring and the plan `_keys` together say of keys.
    async fn trust(&self, keyring: &Keyring) -> Result<Trust, LedgerError> {
        let (tenant, plan) = (Tenant::system(), Plan::keys());
        let rows = select_records!(
            "trust",
            "",
            "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
             LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
             WHERE p.tenant = $1 AND p.plan = $2 ORDER BY e.seq",
            tenant.as_str(),
            plan.as_str()
        )
        .fetch_all(self.pool())
        .await?;
        // A row that cannot be read gives no trust; checking the plan itself finds it.
        let keys: Vec<_> = rows.into_iter().filter_map(|row| row.into_record(&self.deployment().origin).ok()).collect();
        Ok(Trust::new(&self.deployment().origin, keyring.clone(), &keys, self.log_size().await?))
    }

    async fn plans_in(&self, scope: &Scope, after: Option<&(String, String)>) -> Result<Vec<PlanRow>, LedgerError> {
        let (tenant, plan) = scope.names();
        let (after_tenant, after_plan) = after.map_or(("", ""), |(tenant, plan)| (tenant, plan));
        let plans = sqlx::query_as!(
            PlanRow,
            "-- plans_in
            SELECT plan_no, tenant, plan FROM sealbus.plans
            WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR plan = $2) AND (tenant, plan) > ($3, $4)
            ORDER BY tenant, plan LIMIT $5",
            tenant,
            plan,
            after_tenant,
            after_plan,
            PLANS_A_PAGE,
        )
        .fetch_all(self.pool())
        .await?;
        Ok(plans)
    }
}

impl Scope {
    fn holds_keys(&self) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Tenant(tenant) => *tenant == Tenant::system(),
            Scope::Plan(tenant, plan) => *tenant == Tenant::system() && *plan == Plan::keys(),
        }
    }

    fn names(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Scope::Everything => (None, None),
            Scope::Tenant(tenant) => (Some(tenant.as_str()), None),
            Scope::Plan(tenant, plan) => (Some(tenant.as_str()), Some(plan.as_str())),
        }
    }
}

struct PlanRow {
    plan_no: i64,
    tenant: String,
    plan: String,
}
