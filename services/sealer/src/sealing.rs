//! The loop of sealing transactions.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use sealbus_ledger::log::{Sealed, SealingState, Signing};
use sealbus_ledger::low_water::next_unbounded;
use tokio_util::sync::CancellationToken;

use crate::continuity::{Refusal, establish};
use crate::idle::Idle;
use crate::roots::StoredRoots;
use crate::shared::{Anchored, Shared, StoredCheckpoint};
use crate::{Config, RETRY_DELAY, Resources};

/// The pause after another sealer has sealed, before this one reads the anchors to take over.
const STANDBY_DELAY: Duration = Duration::from_millis(500);
/// The share of time for which refusing sealers read the anchors is 1 in this number.
const ANCHORS_SHARE: u32 = 10;

/// The loop of a sealer.
pub(crate) struct Sealing<'a> {
    config: &'a Config,
    resources: &'a Resources,
    shared: &'a Shared,
    roots: &'a StoredRoots,
    /// `None` until the anchors have been read for the database as it is.
    state: Option<SealingState>,
    /// Why nothing is signed, and when the anchors are read again.
    refusal: Option<(Refusal, Instant)>,
    reported: Option<(String, Instant)>,
    read_all_at: Instant,
    idle: Idle,
}

impl<'a> Sealing<'a> {
    /// Returns a loop that records the size of each signed checkpoint in `roots`.
    pub(crate) fn new(
        config: &'a Config,
        resources: &'a Resources,
        shared: &'a Shared,
        roots: &'a StoredRoots,
    ) -> Self {
        let idle = Idle::new(config.queue_poll_interval, resources.broker.clone());
        let read_all_at = Instant::now();
        Self { config, resources, shared, roots, state: None, refusal: None, reported: None, read_all_at, idle }
    }

    /// Runs sealing transactions until `shutdown` is cancelled.
    pub(crate) async fn run(mut self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let pause = match self.step(shutdown).await {
                Ok(Next::Now) => continue,
                Ok(Next::WhenQueued) => {
                    shutdown.run_until_cancelled(self.idle.wait()).await;
                    continue;
                }
                Ok(Next::After(pause)) => pause,
                Err(error) => {
                    self.resources.metrics.failures.inc();
                    tracing::error!(
                        error = %error_chain(&error),
                        "sealing failed; events wait in the seal queue and sealing is retried"
                    );
                    RETRY_DELAY
                }
            };
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Reads the anchors if that is due, and seals the next events.
    async fn step(&mut self, shutdown: &CancellationToken) -> Result<Next, LedgerError> {
        let is_new = self.state.is_none();
        if is_new || self.refusal.as_ref().is_some_and(|(_, until)| Instant::now() >= *until) {
            // An anchor may take long to answer. The end of the process does not wait for it.
            let Some(read) = shutdown.run_until_cancelled(Box::pin(self.read_anchors())).await else {
                return Ok(Next::Now);
            };
            read?;
        }
        if let Some((refusal, until)) = &self.refusal
            && !refusal.allows_leaves()
        {
            return Ok(Next::After(until.saturating_duration_since(Instant::now())));
        }
        let Some(state) = &mut self.state else { return Ok(Next::Now) };
        let started = Instant::now();
        let reads_all = started >= self.read_all_at;
        let basis_changed = self.shared.basis_changed.swap(false, Ordering::Relaxed);
        if reads_all {
            state.read_all();
        } else if !is_new && !basis_changed && !self.resources.ledger.log().has_queued(state).await? {
            return Ok(Next::WhenQueued);
        }
        let sealed = self.seal_batch().await;
        if let Some(state) = &self.state {
            let metrics = &self.resources.metrics;
            metrics.stopped_now.set(i64::try_from(state.stopped_count()).unwrap_or(i64::MAX));
            metrics.progress.low_water_bound.store(state.low_water_bound(), Ordering::Relaxed);
        }
        if reads_all {
            let ended = Instant::now();
            self.read_all_at = ended + next_unbounded(self.config.stopped_plan_retry_interval, ended - started);
        }
        let sealed = sealed?;
        report(self.resources, &sealed);
        if sealed.leaves > 0 {
            self.idle.reset();
        }
        Ok(if sealed.basis_changed {
            Next::After(STANDBY_DELAY)
        } else if sealed.leaves > 0 {
            Next::Now
        } else {
            Next::WhenQueued
        })
    }

    /// Runs one sealing transaction.
    async fn seal_batch(&mut self) -> Result<Sealed, LedgerError> {
        let Resources { ledger, signer, clock, .. } = self.resources;
        let Some(state) = &mut self.state else { return Ok(Sealed::default()) };
        let newest = self.shared.anchored.borrow().as_ref().map(|anchored| anchored.checkpoint.clone());
        let signing = newest.as_ref().map(|anchored| Signing { signer, anchored, time: clock.unix_seconds() });
        let sealed = ledger.log().seal_batch(self.config.max_batch_events, state, signing).await?;
        if sealed.basis_changed {
            self.state = None;
            self.shared.anchored.send_replace(None);
        } else if sealed.leaves > 0 {
            let basis = state.basis().cloned();
            self.shared.anchored.send_modify(|anchored| {
                if let (Some(anchored), Some(basis)) = (anchored, basis) {
                    anchored.basis = basis;
                }
            });
        }
        if let Some(note) = &sealed.note {
            let checkpoint = StoredCheckpoint::new(note.clone());
            self.roots.push(checkpoint.checkpoint.size());
            self.shared.signed.send_replace(Some(checkpoint));
        }
        Ok(sealed)
    }

    /// Reads the anchors, and decides whether this sealer may sign.
    async fn read_anchors(&mut self) -> Result<(), LedgerError> {
        self.shared.anchored.send_replace(None);
        let started = Instant::now();
        // Nothing is signed until `anchored` is set again.
        let signed = self.shared.signed.borrow().as_ref().map(|signed| signed.checkpoint.clone());
        let (basis, result) = establish(self.resources, signed).await?;
        if self.state.as_ref().and_then(SealingState::basis) != Some(&basis) {
            self.state = Some(SealingState::new(basis.clone()));
        }
        match result {
            Ok(checkpoint) => {
                self.shared.anchored.send_replace(Some(Anchored { checkpoint, basis }));
                self.resources.metrics.set_refusal(None);
                if self.refusal.take().is_some() {
                    self.reported = None;
                    tracing::info!("the log continues its anchors; signing goes on");
                }
            }
            Err(refusal) => {
                let ended = Instant::now();
                let pause = ((ended - started) * ANCHORS_SHARE).max(RETRY_DELAY);
                self.report_refusal(&refusal, ended);
                self.resources.metrics.set_refusal(Some(refusal.name()));
                self.refusal = Some((refusal, ended + pause));
            }
        }
        Ok(())
    }

    /// Logs a refusal that is new, and otherwise once in each heartbeat interval.
    fn report_refusal(&mut self, refusal: &Refusal, now: Instant) {
        let text = refusal.to_string();
        let is_old =
            |(reported, at): &(String, Instant)| *reported == text && now - *at < self.config.heartbeat_interval;
        if !self.reported.as_ref().is_some_and(is_old) {
            tracing::error!(leaves = refusal.allows_leaves(), reason = text, "nothing is signed");
            self.reported = Some((text, now));
        }
    }
}

/// When the next step follows.
enum Next {
    Now,
    WhenQueued,
    After(Duration),
}

/// Counts the leaves and stopped plans of a transaction, and logs the latter.
fn report(Resources { metrics, .. }: &Resources, sealed: &Sealed) {
    metrics.leaves.inc_by(sealed.leaves);
    for plan in &sealed.stopped {
        metrics.stopped.inc();
        tracing::error!(
            tenant = plan.tenant,
            plan = plan.plan,
            seq = plan.seq,
            reason = plan.reason,
            "an event failed its check; its plan is not sealed further. Run `sealbus verify` on the plan"
        );
    }
}
