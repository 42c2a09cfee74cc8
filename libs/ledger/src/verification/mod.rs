//! Verification of what is stored: the chains of a plan, a tenant or the whole ledger, and the log, in bounded memory.
//!
//! The checks are those of `sealbus_core::verify` (`docs/spec/integrity.md#verifying`). This module reads rows for them directly
//! from the tables. It never trusts a stored value: what is wrong with a row is a finding, and the verification goes on.

mod chains;
mod log;
mod opening;
mod runs;
mod trust;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealbus_core::event::Record;
use sealbus_core::seal::Keyring;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{ChainSummary, CheckedLog, Finding, Report, Trust};
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;

use self::runs::Runs;
pub use crate::history::Scope;
use crate::pg::Column;
use crate::{Ledger, LedgerError};

/// The facts that events are checked against, shared by all workers.
#[derive(Debug)]
pub struct Basis {
    /// The keys that count, and the erasures.
    pub trust: Trust,
    /// The log, whose notes and tiles were checked; `None` to check only chains.
    pub log: Option<Arc<CheckedLog>>,
    /// Only events with this log index or a higher one are read, and events that are not sealed; 0 for all.
    pub since: u64,
    /// Leaves with this log index or a higher one are ignored, because sealing goes on while the ledger is read.
    pub limit: u64,
    /// Events that were recorded later and that no anchor covers are ignored: they came after the verification began.
    pub until: Option<Timestamp>,
    /// The keys under which data keys are wrapped, if payloads are to be opened.
    pub opens: Option<Keyring>,
    /// The maximum number of findings that a run of plans keeps; the others are only counted.
    pub max_findings: usize,
    read: AtomicU64,
}

/// The maximum number of findings of [`Verification::verify_chains`] about the plans in scope, if they are one plan, and about
/// plan `_keys`.
const MAX_CHAIN_FINDINGS: usize = 1_000;

impl Basis {
    /// Returns a basis for checking only chains.
    pub fn chains(trust: Trust) -> Self {
        Self {
            trust,
            log: None,
            since: 0,
            limit: u64::MAX,
            until: None,
            opens: None,
            max_findings: usize::MAX,
            read: AtomicU64::new(0),
        }
    }

    /// Returns a basis for checking the chains against the log, as far as the checkpoint of the log covers it.
    pub fn with_log(trust: Trust, log: Arc<CheckedLog>) -> Self {
        Self { limit: log.size(), log: Some(log), ..Self::chains(trust) }
    }

    /// Returns the number of events that all workers have read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Returns whether the record is to be ignored because it came after the verification began. Its leaf, if it has one, then
    /// belongs to an event.
    pub(super) fn ignores(&self, record: &Record) -> bool {
        let anchored = self.log.as_ref().map_or(0, |log| log.anchored());
        let later = self.until.is_some_and(|until| record.header.recorded > until)
            && record.log_index.is_none_or(|index| index >= anchored);
        if let (true, Some(log), Some(index)) = (later, &self.log, record.log_index) {
            log.claim(index);
        }
        later
    }
}

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
    /// The number of MACs and v1 signatures that were not checked because the keyring lacks their secret.
    pub unchecked: u64,
    /// The number of events that were ignored because they were recorded after [`Basis::until`].
    pub later: u64,
    /// What is wrong with the events.
    pub findings: Vec<Finding>,
    /// The number of further findings, beyond [`Basis::max_findings`].
    #[serde(default)]
    pub omitted: u64,
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
        self.omitted += other.omitted;
        self.through = other.through.or(self.through.take());
    }

    /// Adds findings, up to [`Basis::max_findings`].
    fn add_findings(&mut self, findings: impl IntoIterator<Item = Finding>, basis: &Basis) {
        for finding in findings {
            if self.findings.len() < basis.max_findings {
                self.findings.push(finding);
            } else {
                self.omitted += 1;
            }
        }
    }

    fn add_plan(&mut self, summary: ChainSummary, basis: &Basis) {
        self.plans += 1;
        self.events += summary.events;
        self.sealed += summary.sealed;
        self.unchecked += summary.unchecked;
        self.add_findings(summary.findings, basis);
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
                if reading.len() >= workers
                    && let Some(worker) = reading.pop_front()
                {
                    report(ended(worker).await?);
                }
                let (ledger, basis) = (self.ledger.clone(), basis.clone());
                let worker = tokio::spawn(async move { ledger.verification().verify_run(run, &basis).await });
                reading.push_back(AbortOnDropHandle::new(worker));
            }
        }
        while let Some(worker) = reading.pop_front() {
            report(ended(worker).await?);
        }
        Ok(())
    }

    /// Verifies the chains in scope with these keys, without the log: what a service reports about itself. The events are also
    /// compared with the table of leaves and with the seal queue, so that a missing end of a plan is found.
    ///
    /// Plan `_keys` is verified too, because every seal depends on a key. Only its findings are reported. Each event has at
    /// most one finding, that of the first failed check. Of a plan with more
    /// than 1,000 findings, the first ones are reported, and the others counted.
    pub async fn verify_chains(self, scope: &Scope, keyring: &Keyring) -> Result<Verified, LedgerError> {
        let trust = self.chain_trust(keyring, self.ledger.log().size().await?, scope).await?;
        let basis = Arc::new(Basis { max_findings: MAX_CHAIN_FINDINGS, ..Basis::chains(trust) });
        let mut verified = Verified::default();
        self.verify(scope, &basis, 1, None, |run| verified.absorb(run)).await?;
        if !scope.holds_keys() {
            self.verify(&Scope::keys(), &basis, 1, None, |keys| verified.findings.extend(keys.findings)).await?;
        }
        let mut report = Report::default();
        report.add(verified.findings);
        report.add(self.leaves_without_event(scope).await?);
        report.add(self.missing_from_queue(scope).await?);
        verified.findings = report.findings().collect();
        Ok(verified)
    }

    /// Returns whether the ledger has an event in scope.
    pub async fn has_events(self, scope: &Scope) -> Result<bool, LedgerError> {
        let (tenant, plan) = scope.names();
        let found = sqlx::query_scalar!(
            r#"-- scope_has_events
            SELECT EXISTS (
                SELECT FROM sealbus.plans p
                WHERE ($1::text IS NULL OR p.tenant = $1) AND ($2::text IS NULL OR p.plan = $2)
                    AND EXISTS (SELECT FROM sealbus.events e WHERE e.plan_no = p.plan_no)
            ) AS "found!""#,
            tenant,
            plan,
        );
        Ok(found.fetch_one(self.ledger.reads()).await?)
    }

    /// Returns the number of events in scope, for a progress bar: an estimate from statistics for everything, counted otherwise.
    pub async fn events_in(self, scope: &Scope) -> Result<u64, LedgerError> {
        let (tenant, plan) = scope.names();
        let events = if *scope == Scope::Everything {
            let estimate = sqlx::query_scalar!(
                r#"-- events_estimated
                SELECT greatest(reltuples, 0)::bigint AS "events!" FROM pg_class WHERE oid = 'sealbus.events'::regclass"#
            );
            estimate.fetch_one(self.ledger.reads()).await?
        } else {
            let counted = sqlx::query_scalar!(
                r#"-- events_in
                SELECT count(*) AS "events!" FROM sealbus.events e JOIN sealbus.plans p USING (plan_no)
                WHERE p.tenant = $1 AND ($2::text IS NULL OR p.plan = $2)"#,
                tenant,
                plan,
            );
            counted.fetch_one(self.ledger.reads()).await?
        };
        Column::new("events", "count(*)").read(events)
    }
}

async fn ended(worker: AbortOnDropHandle<Result<Verified, LedgerError>>) -> Result<Verified, LedgerError> {
    worker.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}
