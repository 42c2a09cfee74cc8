//! The task that takes and renews leases for a process. Times and failures are described in the [parent module](super).
//!
//! The keeper announces its process as a member of the kind. At each renewal it compares the leases that it owns with its fair
//! share among the live members: it gives back what it has too many, and takes what it lacks as soon as that is free or
//! expired. It reports each gain and loss as a [`Change`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::error_chain;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::share::{fair_share, free_keys};
use crate::{Ledger, LedgerError};

/// How long a keeper that stops waits for the step in progress, and then for its leases to be given back.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The leases that a keeper shares with the other members, and their duration.
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// The kind of lease.
    pub kind: String,
    /// All keys of the kind. It may be empty: the keeper then only announces a member.
    pub keys: Vec<String>,
    /// The name of this process, which no other process has or had.
    pub owner: String,
    /// How long a lease lasts after its last renewal.
    pub lease_duration: Duration,
    /// The interval of renewals. It has to be well below the duration.
    pub renew_interval: Duration,
}

/// A lease that this process owns or owned. Clones observe the same lease.
#[derive(Clone, Debug)]
pub struct Lease {
    key: Arc<str>,
    epoch: i64,
    until: watch::Receiver<Option<Instant>>,
}

impl Lease {
    /// Returns the key of the lease.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the fencing token. It is higher than that of every earlier owner.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Returns whether this process still owns the lease. Once it is `false` it stays `false`: if the process takes the key
    /// again, that is another lease with a higher epoch.
    pub fn still_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }
}

/// A change in what this process owns.
#[derive(Clone, Debug)]
pub enum Change {
    /// The process owns this lease now.
    Gained(Lease),
    /// The process does not own this lease any more. Another process may own it already.
    Lost(Lease),
}

/// A running keeper. [`Keeper::stop`] gives its leases back; if it is only dropped, they expire.
#[derive(Debug)]
pub struct Keeper {
    changes: mpsc::UnboundedReceiver<Change>,
    able: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts to take leases. Needs a Tokio runtime.
    pub fn start(ledger: Ledger, config: KeeperConfig) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let (able, is_able) = watch::channel(true);
        let stop = CancellationToken::new();
        let task = Task { ledger, config, changes: sender, held: BTreeMap::new(), failing: false };
        let task = tokio::spawn(task.run(is_able, stop.clone()));
        Self { changes, able, stop, task }
    }

    /// Waits for the next change. Returns `None` once the keeper has ended. Cancel safe.
    pub async fn changed(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Sets whether this process can do the work. While it cannot, it owns no leases and is not a member.
    pub fn set_able(&self, able: bool) {
        self.able.send_if_modified(|was| std::mem::replace(was, able) != able);
    }

    /// Gives all leases back and ends. Takes at most two seconds, even if the database is unreachable.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // If the task panicked, the panic was reported, and the leases expire.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A lease that the keeper trusts until the instant in `until`, or no more if that is `None`.
struct Held {
    epoch: i64,
    until: watch::Sender<Option<Instant>>,
}

struct Task {
    ledger: Ledger,
    config: KeeperConfig,
    changes: mpsc::UnboundedSender<Change>,
    held: BTreeMap<String, Held>,
    /// Whether the last renewal failed.
    failing: bool,
}

impl Task {
    async fn run(mut self, mut able: watch::Receiver<bool>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let is_able = *able.borrow_and_update();
            // The timeout leaves time to report lost leases if the database hangs.
            let outcome = {
                let in_time = timeout(self.config.lease_duration / 2, self.step(is_able));
                tokio::pin!(in_time);
                tokio::select! {
                    outcome = &mut in_time => outcome,
                    () = stop.cancelled() => {
                        // A statement that is only dropped may take effect after the leases were given back.
                        let _ = timeout(STOP_TIMEOUT, in_time).await;
                        break;
                    }
                }
            };
            let pause = match outcome {
                Ok(Ok(complete)) => {
                    if std::mem::take(&mut self.failing) {
                        tracing::info!(kind = self.config.kind, "leases can be renewed again");
                    }
                    if complete { self.config.renew_interval } else { self.config.renew_interval / 4 }
                }
                Ok(Err(error)) => self.on_renewal_failed(&error_chain(&error)),
                Err(_) => self.on_renewal_failed("no answer in time"),
            };
            let next_step = Instant::now() + pause;
            loop {
                self.lose_expired();
                let expiries = self.held.values().filter_map(|held| *held.until.borrow());
                let wake = expiries.min().map_or(next_step, |expiry| expiry.min(next_step));
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = able.changed() => break,
                    () = sleep_until(wake) => if wake == next_step { break },
                }
            }
        }
        self.lose(|_, _| true);
        let withdraw = self.ledger.leases().withdraw(&self.config.kind, &self.config.owner);
        if !matches!(timeout(STOP_TIMEOUT, withdraw).await, Ok(Ok(()))) {
            tracing::warn!(
                kind = self.config.kind,
                "leases could not be given back; other processes wait until they expire"
            );
        }
    }

    /// Renews, compares with the fair share, and gives leases back or takes some. Returns whether this process now owns its
    /// share.
    async fn step(&mut self, able: bool) -> Result<bool, LedgerError> {
        let (ledger, KeeperConfig { kind, keys, owner, lease_duration, .. }) =
            (self.ledger.clone(), self.config.clone());
        let leases = ledger.leases();

        let sent = Instant::now();
        let renewed = leases.renew(&kind, &owner, lease_duration).await?;
        self.lose_expired();
        self.lose(|key, held| !renewed.grants.iter().any(|grant| grant.key == key && grant.epoch == held.epoch));
        for held in self.held.values() {
            held.until.send_replace(Some(sent + lease_duration));
        }
        if !able {
            self.lose(|_, _| true);
            leases.withdraw(&kind, &owner).await?;
            return Ok(true);
        }
        // Leases that the database knows and this task does not: an answer was lost or came too late. They are taken again,
        // with another epoch.
        let unknown: Vec<String> =
            renewed.grants.into_iter().map(|grant| grant.key).filter(|key| !self.held.contains_key(key)).collect();
        if !unknown.is_empty() {
            leases.release(&kind, &unknown, &owner).await?;
        }
        if !renewed.member {
            leases.announce(&kind, &owner, lease_duration).await?;
        }

        let view = leases.view(&kind, lease_duration).await?;
        let share = fair_share(keys.len(), &view.members, &owner);
        if self.held.len() > share {
            let excess: Vec<String> = self.held.keys().skip(share).cloned().collect();
            self.lose(|key, _| excess.iter().any(|other| other == key));
            leases.release(&kind, &excess, &owner).await?;
        }
        let wanted = free_keys(&keys, &view, &owner, share.saturating_sub(self.held.len()));
        if !wanted.is_empty() {
            let sent = Instant::now();
            for grant in leases.take(&kind, &wanted, &owner, lease_duration).await? {
                self.gain(grant.key, grant.epoch, sent + lease_duration);
            }
        }
        Ok(self.held.len() == share)
    }

    fn gain(&mut self, key: String, epoch: i64, until: Instant) {
        let (until, seen) = watch::channel(Some(until));
        let lease = Lease { key: key.as_str().into(), epoch, until: seen };
        tracing::info!(kind = self.config.kind, key, epoch, "lease gained");
        self.held.insert(key, Held { epoch, until });
        // The receiver is gone only while the keeper is being dropped.
        let _ = self.changes.send(Change::Gained(lease));
    }

    /// Gives up the leases for which `is_lost` is true, and reports each.
    fn lose(&mut self, is_lost: impl Fn(&str, &Held) -> bool) {
        for (key, held) in self.held.extract_if(.., |key, held| is_lost(key, held)) {
            held.until.send_replace(None);
            tracing::info!(kind = self.config.kind, key, epoch = held.epoch, "lease lost");
            let lease = Lease { key: key.into(), epoch: held.epoch, until: held.until.subscribe() };
            let _ = self.changes.send(Change::Lost(lease));
        }
    }

    fn lose_expired(&mut self) {
        let now = Instant::now();
        self.lose(|_, held| held.until.borrow().is_none_or(|until| until <= now));
    }

    /// Reports the first of consecutive failures. Returns the pause before the next attempt.
    fn on_renewal_failed(&mut self, error: &str) -> Duration {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(kind = self.config.kind, error, "leases cannot be renewed; they are lost when they expire");
        }
        self.config.renew_interval / 4
    }
}
