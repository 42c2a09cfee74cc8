//! Verification of what is stored: the chains of a plan, a tenant or the whole ledger, and the log, in bounded memory.
//!
//! The checks are those of `sealbus_core::verify` (`docs/spec/integrity.md#verifying`). This module reads rows for them directly
//! from the tables. It never trusts a stored value: what is wrong with a row is a finding, and the verification goes on.
//!
//! - `trust`: what has to be known before the first plan is checked: keys, erasures, the latest time of the log.
//! - `basis`: what events are checked against, shared by all workers.
//! - `runs`: which plans are read together.
//! - `chains`: one such run of plans, read and checked.
//! - `opening`: encrypted payloads, for an operator whose keyring can open them.
//! - `log`: the stored tiles, and the leaves that belong to no event.

mod basis;
mod chains;
mod log;
mod opening;
mod runs;
mod trust;

use std::collections::VecDeque;
use std::sync::Arc;

use sealbus_core::seal::Keyring;
use sealbus_core::verify::{ChainSummary, Finding};
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;

pub use self::basis::Basis;
use self::runs::Runs;
pub use crate::history::Scope;
use crate::pg::Column;
use crate::{Ledger, LedgerError};

/// The result of verifying some plans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// The number of events that were read.
    pub events: u64,
    /// The number of plans that were read.
    pub plans: u64,
    /// The number of sealed events.
    pub sealed: u64,
    /// The number of MACs that were not checked because the keyring lacks their secret.
    pub unchecked: u64,
    /// The number of events that were ignored because they were recorded after [`Basis::until`].
    pub later: u64,
    /// What is wrong with the events.
    pub findings: Vec<Finding>,
    /// The last plan, as (tenant, plan). An interrupted verification resumes after it.
    pub through: Option<(String, String)>,
}

impl Verified {
    /// Adds the result of plans that come after these.
    pub fn absorb(&mut self, other: Self) {
        self.events += other.events;
        self.plans += other.plans;
        self.sealed += other.sealed;
        self.unchecked += other.unchecked;
        self.later += other.later;
        self.findings.extend(other.findings);
        self.through = other.through.or(self.through.take());
    }

    fn add_plan(&mut self, summary: ChainSummary) {
        self.plans += 1;
        self.events += summary.events;
        self.sealed += summary.sealed;
        self.unchecked += summary.unchecked;
        self.findings.extend(summary.findings);
    }
}

/// Access to verification, from [`Ledger::verification`].
#[derive(Clone, Copy)]
pub struct Verification<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Verification<'_> {
    /// Verifies the chains in scope, with up to `workers` runs of plans in parallel, each on a separate connection. Calls `report`
    /// with the result of each run, in order. `after` is a plan, from [`Verified::through`], after which to begin.
    ///
    /// # Errors
    /// The database failed. What is wrong with stored events is a finding, not an error.
    pub async fn verify(
        self,
        scope: &Scope,
        basis: &Arc<Basis>,
        workers: usize,
        after: Option<&(String, String)>,
        mut report: impl FnMut(Verified),
    ) -> Result<(), LedgerError> {
        let mut runs = Runs::begin(self.ledger, scope, basis.since, after).await?;
        let mut reading = VecDeque::new();
        loop {
            let page = runs.next_page().await?;
            if page.is_empty() {
                break;
            }
            for run in page {
                if reading.len() >= workers.max(1) {
                    report(ended(reading.pop_front()).await?);
                }
                let (ledger, basis) = (self.ledger.clone(), basis.clone());
                let worker = tokio::spawn(async move { ledger.verification().verify_run(run, &basis).await });
                reading.push_back(AbortOnDropHandle::new(worker));
            }
        }
        while let Some(worker) = reading.pop_front() {
            report(ended(Some(worker)).await?);
        }
        Ok(())
    }

    /// Verifies the chains in scope with these keys, without the log: what a service reports about itself.
    ///
    /// Plan `_keys` is verified too, because every seal depends on a key. Only its findings are reported.
    pub async fn verify_chains(self, scope: &Scope, keyring: &Keyring) -> Result<Verified, LedgerError> {
        let basis = Arc::new(Basis::chains(self.trust(keyring, self.ledger.log().size().await?).await?));
        let mut verified = Verified::default();
        self.verify(scope, &basis, 1, None, |run| verified.absorb(run)).await?;
        if !scope.holds_keys() {
            self.verify(&Scope::keys(), &basis, 1, None, |keys| verified.findings.extend(keys.findings)).await?;
        }
        Ok(verified)
    }

    /// Returns the number of events in scope, for a progress bar: an estimate from statistics for everything, counted otherwise.
    pub async fn events_in(self, scope: &Scope) -> Result<u64, LedgerError> {
        let (tenant, plan) = scope.names();
        let events = match scope {
            Scope::Everything => {
                sqlx::query_scalar!(
                    r#"-- events_estimated
                    SELECT greatest(reltuples, 0)::bigint AS "events!" FROM pg_class WHERE oid = 'sealbus.events'::regclass"#
                )
                .fetch_one(self.ledger.pool())
                .await?
            }
            Scope::Tenant(_) | Scope::Plan(..) => {
                sqlx::query_scalar!(
                    r#"-- events_in
                    SELECT count(*) AS "events!" FROM sealbus.events e JOIN sealbus.plans p USING (plan_no)
                    WHERE p.tenant = $1 AND ($2::text IS NULL OR p.plan = $2)"#,
                    tenant,
                    plan,
                )
                .fetch_one(self.ledger.pool())
                .await?
            }
        };
        Column::new("events", "count(*)").read(events)
    }
}

async fn ended(worker: Option<AbortOnDropHandle<Result<Verified, LedgerError>>>) -> Result<Verified, LedgerError> {
    let Some(worker) = worker else { return Ok(Verified::default()) };
    worker.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}
