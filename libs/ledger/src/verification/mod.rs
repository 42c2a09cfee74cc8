//! Checking what is stored: every chain of a plan, a tenant, or the whole ledger, at bounded memory, and the log beside it.
//!
//! The rules are `sealbus_core::verify`'s; here rows are read for them, straight from the tables and not through anything
//! that could have been told to look away.
//!
//! - `scope`: what is checked.
//! - `basis`: what it is compared with: keys, log, what is owed.
//! - `runs`: which plans are read, in which portions.
//! - `chains`: a portion of plans, read and checked.
//! - `opening`: encrypted payloads, for an operator who can open them.
//! - `log`: the tree's tiles for a `TreeCheck`, and the leaves that nobody claims.
//! - `trust`: what has to be known of all plans before one is judged.

mod basis;
mod chains;
mod log;
mod opening;
mod runs;
mod scope;
mod trust;

use std::collections::VecDeque;
use std::sync::Arc;

use sealbus_core::seal::Keyring;
use sealbus_core::verify::{ChainSummary, Finding};
use tokio_util::task::AbortOnDropHandle;

pub use self::basis::Basis;
use self::runs::Runs;
pub use self::scope::Scope;
use crate::{Ledger, LedgerError};

/// What checking some plans came to.
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
    /// Events that were passed over because they came after [`Basis::until`].
    pub later: u64,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
    /// The last of the plans, by tenant and name: where a verification that was interrupted goes on.
    pub through: Option<(String, String)>,
}

impl Verified {
    /// Adds what other plans came to, which lie behind these.
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

/// The checks of what is stored. From [`Ledger::verification`].
#[derive(Clone, Copy)]
pub struct Verification<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Verification<'_> {
    /// Checks the chains in scope, up to `workers` portions of plans at once, each on a connection of its own, and tells what
    /// each portion came to, in order. `behind` names a plan, by [`Verified::through`], behind which to begin.
    ///
    /// # Errors
    /// Only where the ledger cannot be read; what is wrong with it is a finding.
    pub async fn verify(
        self,
        scope: &Scope,
        basis: &Arc<Basis>,
        workers: usize,
        behind: Option<&(String, String)>,
        mut tell: impl FnMut(Verified),
    ) -> Result<(), LedgerError> {
        let mut runs = Runs::begin(self.ledger, scope, basis.since, behind).await?;
        let mut reading = VecDeque::new();
        loop {
            let page = runs.next_page().await?;
            if page.is_empty() {
                break;
            }
            for run in page {
                if reading.len() >= workers.max(1) {
                    tell(ended(reading.pop_front()).await?);
                }
                let (ledger, basis) = (self.ledger.clone(), basis.clone());
                let portion = tokio::spawn(async move { ledger.verification().verify_run(run, &basis).await });
                reading.push_back(AbortOnDropHandle::new(portion));
            }
        }
        while let Some(portion) = reading.pop_front() {
            tell(ended(Some(portion)).await?);
        }
        Ok(())
    }

    /// Checks the chains in scope by these keys, and nothing of the log: what a service says of itself.
    ///
    /// The plan of keys is checked with them, since a seal is worth what its key is; of it only the findings are told.
    pub async fn verify_chains(self, scope: &Scope, keyring: &Keyring) -> Result<Verified, LedgerError> {
        let basis = Arc::new(Basis::chains(self.trust(keyring, self.ledger.log().size().await?).await?));
        let mut verified = Verified::default();
        self.verify(scope, &basis, 1, None, |portion| verified.absorb(portion)).await?;
        if !scope.holds_keys() {
            self.verify(&Scope::keys(), &basis, 1, None, |keys| verified.findings.extend(keys.findings)).await?;
        }
        Ok(verified)
    }

    /// Events in scope, for a progress bar: as the statistics have it of a whole ledger, counted of less.
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
        Ok(events.unsigned_abs())
    }
}

async fn ended(portion: Option<AbortOnDropHandle<Result<Verified, LedgerError>>>) -> Result<Verified, LedgerError> {
    let Some(portion) = portion else { return Ok(Verified::default()) };
    portion.await.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
}
