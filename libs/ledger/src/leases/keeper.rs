//! A process's hold on its share of the leases of a kind: taken, renewed, shared with newcomers, lost in time.
//!
//! The keeper announces its process as a member, and at each renewal compares what it holds with its fair share among the
//! members alive: what it has too much it gives up, what it lacks it takes as soon as it is free or its owner has been
//! silent for the length of a lease. It says so as [`Change`]s. Whether a lease is still held is answered on the monotonic
//! clock, from the moment *before* the renewal was asked for: the database may see the lease end later, never earlier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::leases::table::LeaseView;
use crate::{Ledger, LedgerError};

/// What is to be shared, and by whom.
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// The kind of lease.
    pub kind: String,
    /// Every key of it that there is.
    pub keys: Vec<String>,
    /// This process, by a name that no other process has or had.
    pub owner: String,
    /// How long a lease lasts after its owner was last heard of. By default 10 s.
    pub lease_duration: Duration,
    /// How often it is renewed: well under its length. By default 3 s.
    pub renew_interval: Duration,
}

impl KeeperConfig {
    /// The default intervals.
    pub fn new(kind: impl Into<String>, keys: Vec<String>, owner: impl Into<String>) -> Self {
        let (lease_duration, renew_interval) = (Duration::from_secs(10), Duration::from_secs(3));
        Self { kind: kind.into(), keys, owner: owner.into(), lease_duration, renew_interval }
    }
}

/// A lease in hand, or one that was.
#[derive(Clone, Debug)]
pub struct Lease {
    key: Arc<str>,
    epoch: i64,
    until: watch::Receiver<Option<Instant>>,
}

impl Lease {
    /// What is held.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The fencing token: higher than that of every owner before.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether it is held at this moment. Never true again once it was false: who takes the key anew gets a new epoch.
    pub fn still_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }
}

/// What became of a lease.
#[derive(Clone, Debug)]
pub enum Change {
    /// The key is this process's now.
    Gained(Lease),
    /// It is no more; others may hold it already.
    Lost(Lease),
}

/// The running keeper. Dropping it lets its leases expire; [`Keeper::stop`] gives them back.
#[derive(Debug)]
pub struct Keeper {
    changes: mpsc::UnboundedReceiver<Change>,
    able: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins to take its share. It needs a tokio runtime.
    pub fn start(ledger: Ledger, config: KeeperConfig) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let (able, is_able) = watch::channel(true);
        let stop = CancellationToken::new();
        let task = Task { ledger, config, changes: sender, held: BTreeMap::new(), unreachable: false };
        let task = tokio::spawn(task.run(is_able, stop.clone()));
        Self { changes, able, stop, task }
    }

    /// The next change, in the order in which they happened; `None` once the keeper has ended. Safe to drop and ask again.
    pub async fn changed(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Whether this process can do the work now. While it cannot, it gives its leases to members that can.
    pub fn set_able(&self, able: bool) {
        self.able.send_if_modified(|was| std::mem::replace(was, able) != able);
    }

    /// Gives everything back and ends, within a second even where the database is away.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // A keeper that panicked has nothing to give back.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct OwnedLease {
    epoch: i64,
    until: watch::Sender<Option<Instant>>,
}

struct Task {
    ledger: Ledger,
    config: KeeperConfig,
    changes: mpsc::UnboundedSender<Change>,
    held: BTreeMap<String, OwnedLease>,
    unreachable: bool,
}

impl Task {
    async fn run(mut self, mut able: watch::Receiver<bool>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let is_able = *able.borrow_and_update();
            // A database that hangs must not keep anybody from learning what is lost.
            let outcome = tokio::select! {
                () = stop.cancelled() => break,
                outcome = timeout(self.config.lease_duration / 2, self.step(is_able)) => outcome,
            };
            let pause = match outcome {
                Ok(Ok(complete)) => {
                    self.on_renewed();
                    if complete { self.config.renew_interval } else { self.config.renew_interval / 4 }
                }
                Ok(Err(error)) => self.on_renewal_failed(&error),
                Err(_) => self.on_renewal_failed("no answer"),
            };
            let again = Instant::now() + pause;
            loop {
                self.lose_expired();
                let wake = self.first_expiry().map_or(again, |expiry| expiry.min(again));
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = able.changed() => break,
                    () = sleep_until(wake) => if wake == again { break },
                }
            }
        }
        let keys: Vec<String> = self.held.keys().cloned().collect();
        self.lose(&keys);
        let farewell = self.ledger.leases().withdraw(&self.config.kind, &self.config.owner);
        if !matches!(timeout(Duration::from_secs(1), farewell).await, Ok(Ok(()))) {
            tracing::warn!(
                kind = self.config.kind,
                "leases could not be given back; others have to wait until they expire"
            );
        }
    }

    /// Renews, compares with the fair share, gives up or takes. Says whether nothing is left to be taken.
    async fn step(&mut self, able: bool) -> Result<bool, LedgerError> {
        let Self { ledger, config: KeeperConfig { kind, keys, owner, lease_duration, .. }, .. } = self;
        let (ledger, kind, keys, owner, lease) =
            (ledger.clone(), kind.clone(), keys.clone(), owner.clone(), *lease_duration);

        let asked = Instant::now();
        let renewed = ledger.leases().renew(&kind, &owner, lease).await?;
        self.lose_expired();
        let gone: Vec<String> = self
            .held
            .iter()
            .filter(|(key, owned)| !renewed.grants.iter().any(|grant| grant.key == **key && grant.epoch == owned.epoch))
            .map(|(key, _)| key.clone())
            .collect();
        self.lose(&gone);
        for owned in self.held.values() {
            owned.until.send_replace(Some(asked + lease));
        }
        if !able {
            let keys: Vec<String> = self.held.keys().cloned().collect();
            self.lose(&keys);
            ledger.leases().withdraw(&kind, &owner).await?;
            return Ok(true);
        }
        // Ours in the database and not in hand: an answer was lost, or came too late. Its epoch is spent.
        let spent: Vec<String> =
            renewed.grants.into_iter().map(|grant| grant.key).filter(|key| !self.held.contains_key(key)).collect();
        if !spent.is_empty() {
            ledger.leases().release(&kind, &spent, &owner).await?;
        }
        if !renewed.member {
            ledger.leases().announce(&kind, &owner, lease).await?;
        }

        let view = ledger.leases().view(&kind).await?;
        let share = fair_share(keys.len(), &view.members, &owner);
        if self.held.len() > share {
            let excess: Vec<String> = self.held.keys().skip(share).cloned().collect();
            self.lose(&excess);
            ledger.leases().release(&kind, &excess, &owner).await?;
        } else if self.held.len() < share {
            let wanted = free_keys(&keys, &view, &owner, share - self.held.len());
            if !wanted.is_empty() {
                let asked = Instant::now();
                for grant in ledger.leases().take(&kind, &wanted, &owner, lease).await? {
                    self.gain(grant.key, grant.epoch, asked + lease);
                }
            }
        }
        Ok(self.held.len() == share)
    }

    fn gain(&mut self, key: String, epoch: i64, until: Instant) {
        let (until, seen) = watch::channel(Some(until));
        let lease = Lease { key: key.as_str().into(), epoch, until: seen };
        tracing::info!(kind = self.config.kind, key, epoch, "lease gained");
        self.held.insert(key, OwnedLease { epoch, until });
        // Nobody listens any more: the keeper is being dropped.
        let _ = self.changes.send(Change::Gained(lease));
    }

    fn lose(&mut self, keys: &[String]) {
        for key in keys {
            let Some(OwnedLease { epoch, until }) = self.held.remove(key) else { continue };
            until.send_replace(None);
            tracing::info!(kind = self.config.kind, key, epoch, "lease lost");
            let _ =
                self.changes.send(Change::Lost(Lease { key: key.as_str().into(), epoch, until: until.subscribe() }));
        }
    }

    fn lose_expired(&mut self) {
        let now = Instant::now();
        let expired: Vec<String> = self
            .held
            .iter()
            .filter(|(_, owned)| owned.until.borrow().is_none_or(|until| until <= now))
            .map(|(key, _)| key.clone())
            .collect();
        self.lose(&expired);
    }

    fn first_expiry(&self) -> Option<Instant> {
        self.held.values().filter_map(|owned| *owned.until.borrow()).min()
    }

    fn on_renewed(&mut self) {
        if std::mem::take(&mut self.unreachable) {
            tracing::info!(kind = self.config.kind, "leases can be renewed again");
        }
    }

    fn on_renewal_failed(&mut self, reason: impl std::fmt::Display) -> Duration {
        if !std::mem::replace(&mut self.unreachable, true) {
            tracing::warn!(kind = self.config.kind, %reason, "leases cannot be renewed; they are lost when they expire");
        }
        self.config.renew_interval / 4
    }
}

/// How many of `keys` this member should hold: shares differ by one at most, and add up to all.
fn fair_share(keys: usize, members: &[String], owner: &str) -> usize {
    let Some(rank) = members.iter().position(|member| member == owner) else { return 0 };
    keys / members.len() + usize::from(rank < keys % members.len())
}

/// Up to `count` keys that nobody holds, beginning at the member's own place so that members rarely reach for the same.
fn free_keys(keys: &[String], view: &LeaseView, owner: &str, count: usize) -> Vec<String> {
    let rank = view.members.iter().position(|member| member == owner).unwrap_or(0);
    let start = keys.len() * rank / view.members.len().max(1);
    let ring = keys.iter().cycle().skip(start).take(keys.len());
    ring.filter(|key| !view.held.contains(key)).take(count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_fair_and_add_up(keys in 0_usize..70, members in 1_usize..20) {
            let members: Vec<String> = (0..members).map(|member| format!("relay-{member:02}")).collect();
            let shares: Vec<usize> = members.iter().map(|member| fair_share(keys, &members, member)).collect();
            prop_assert_eq!(shares.iter().sum::<usize>(), keys);
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }

        #[test]
        fn members_that_begin_together_reach_for_different_keys(keys in 1_usize..70, members in 1_usize..20) {
            let keys: Vec<String> = (0..keys).map(|key| key.to_string()).collect();
            let members: Vec<String> = (0..members).map(|member| format!("relay-{member:02}")).collect();
            let view = LeaseView { members: members.clone(), held: Vec::new() };
            let mut wanted: Vec<String> =
                members.iter().flat_map(|member| free_keys(&keys, &view, member, fair_share(keys.len(), &members, member))).collect();
            wanted.sort();
            wanted.dedup();
            // Rounding lets neighbours meet at a border, and never more than that.
            prop_assert!(wanted.len() + members.len() > keys.len());
        }
    }

    #[test]
    fn who_is_no_member_has_no_share() {
        assert_eq!(fair_share(8, &["relay-1".to_owned()], "relay-2"), 0);
        assert_eq!(fair_share(8, &[], "relay-2"), 0);
    }
}
