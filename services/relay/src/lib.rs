//! The relay: publishes events from the outbox to the stream, each plan's in order (`docs/spec/protocol.md#relay`).
//!
//! Any number of relays may run. They divide the ledger's partitions by leases. Each partition that a relay owns has a
//! `worker`, which ends with the lease. Two relays on one partition publish duplicates and lose nothing: leases only save
//! work, and the rules of `window` keep the order.
//!
//! | module | task | rules of the specification |
//! |---|---|---|
//! | `worker` | the loop of one partition, which decides and owns all state | |
//! | `window` | decides which event may be sent next, and what a failure means; pure | `#relay-1`, `#relay-2` |
//! | `hints` | checks hints, and drops those that the worker has no capacity for | `#relay-3` |
//! | `known_plans` | remembers which rows a scan need not look at; pure | `#relay-1` |
//! | `outbox_scan` | reads the outbox | `#relay-3` |
//! | `outbox_watch` | tells idle workers of rows, measures the outbox, and counts the partitions without an owner | `#relay-3` |
//! | `worker::send` | sends events, and awaits each acknowledgement in a task of its own | `#relay-2` |
//! | `worker::delete` | deletes acknowledged rows, and reports phantoms | `#relay-3`, `#relay-4` |
//! | `backoff` | pauses a partition whose stream is full, refuses or does not answer | `#relay-pause` |
//! | `beacons` | records what the stream holds, by which lost messages are found | `#repair-beacons` |

mod backoff;
mod beacons;
mod hints;
mod known_plans;
mod metrics;
mod outbox_scan;
mod outbox_watch;
mod window;
mod worker;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::Broker;
use sealbus_broker::topology::TopologySettings;
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::leases::keeper::{Change, Keeper, KeeperConfig, Lease};
use sealbus_runtime::reconnect::reconnect;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::beacons::LatestBeacon;
pub use crate::metrics::Metrics;
use crate::outbox_watch::OutboxWatch;
use crate::worker::Worker;

/// The settings of a relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this process as the owner of leases. No other process may ever use it.
    pub owner: String,
    /// The kind of the leases. Relays with the same kind divide the partitions.
    pub lease_kind: String,
    /// The limits of the streams, which the relay creates if they do not exist.
    pub topology: TopologySettings,
    /// The maximum number of events of one plan in flight.
    pub max_in_flight: usize,
    /// The number of rows that one query of the outbox reads, and about the maximum number in memory per partition.
    pub page_rows: u32,
    /// The maximum bytes of events in memory per partition. The last event may exceed it.
    pub max_memory_bytes: usize,
    /// How often an outbox scan looks for events whose hints were lost.
    pub scan_interval: Duration,
    /// How often an outbox scan ignores the low-water bound.
    pub full_scan_interval: Duration,
    /// The shortest interval between two movements of the low-water bound.
    pub low_water_interval: Duration,
    /// How long a partition belongs to this relay after the last renewal of its lease.
    pub lease_duration: Duration,
    /// How often leases are renewed.
    pub lease_renew_interval: Duration,
    /// How often a beacon is recorded while messages are acknowledged.
    pub beacon_interval: Duration,
    /// The age at which a beacon is deleted.
    pub beacon_retention: Duration,
    /// How often the outbox is measured for the metrics.
    pub measure_interval: Duration,
    /// How long acknowledgements are awaited at shutdown.
    pub drain_timeout: Duration,
}

/// The open resources of a relay.
#[derive(Clone)]
pub struct Resources {
    /// The ledger.
    pub ledger: Ledger,
    /// The broker.
    pub broker: Broker,
    /// The keys whose seals are trusted.
    pub keyring: Arc<Keyring>,
    /// The counters.
    pub metrics: Metrics,
}

/// A relay that ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The task of a partition panicked. The process should end; the outbox holds what has not been published.
    #[error("a task of the relay panicked")]
    TaskPanicked(#[source] JoinError),
    /// The lease keeper ended.
    #[error("the relay's lease keeper ended")]
    LeaseKeeperEnded,
}

/// Relays events until `shutdown` fires. Then it accepts no more events, waits for the acknowledgements of those in flight,
/// gives its leases back and returns.
///
/// It waits while the ledger or the broker is unreachable. The outbox holds the events in the meantime.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), Error> {
    let create_streams = || resources.broker.ensure_topology(&config.topology);
    if reconnect("creating the streams", &shutdown, |_| true, create_streams).await.is_err() {
        return Ok(()); // The relay was told to stop.
    }
    let partitions = resources.ledger.deployment().partitions;
    let keeper = KeeperConfig {
        kind: config.lease_kind.clone(),
        keys: (0..partitions).map(|partition| partition.to_string()).collect(),
        owner: config.owner.clone(),
        lease_duration: config.lease_duration,
        renew_interval: config.lease_renew_interval,
    };
    let keeper = Keeper::start(resources.ledger.clone(), keeper);
    let relay = Relay {
        config: Arc::new(config),
        resources,
        latest_beacon: Arc::default(),
        outbox_watch: Arc::default(),
        drain: CancellationToken::new(),
        workers: JoinSet::new(),
        owned: BTreeMap::new(),
    };
    relay.run(keeper, shutdown).await
}

struct Relay {
    config: Arc<Config>,
    resources: Resources,
    latest_beacon: Arc<LatestBeacon>,
    outbox_watch: Arc<OutboxWatch>,
    /// Tells the workers to drain and end.
    drain: CancellationToken,
    workers: JoinSet<()>,
    /// The workers of the partitions that this relay owns, with the epochs of their leases.
    owned: BTreeMap<u32, (i64, AbortHandle)>,
}

impl Relay {
    async fn run(mut self, mut keeper: Keeper, shutdown: CancellationToken) -> Result<(), Error> {
        let Resources { ledger, broker, metrics, .. } = self.resources.clone();
        let (config, latest_beacon) = (Arc::clone(&self.config), Arc::clone(&self.latest_beacon));
        let watch = Arc::clone(&self.outbox_watch);
        // These queries run beside the loop: whatever they wait for, leases are gained and lost, and the relay can be stopped.
        let beside = async {
            tokio::join!(
                beacons::record(
                    ledger.clone(),
                    broker.clone(),
                    &latest_beacon,
                    config.beacon_interval,
                    config.beacon_retention
                ),
                watch.notify_workers(ledger.clone(), config.scan_interval),
                watch.measure(ledger.clone(), metrics.clone(), config.measure_interval),
                outbox_watch::count_unowned(ledger.clone(), metrics, &config),
            )
        };
        tokio::pin!(beside);
        let mut connection = broker.connection();
        let mut unreachable_since = None;
        let result = loop {
            // A relay without the broker gives its partitions to one that has it, unless the connection returns within half
            // a lease.
            let able_until = unreachable_since.map(|since: Instant| since + self.config.lease_duration / 2);
            keeper.set_able(able_until.is_none_or(|until| Instant::now() < until));
            let able_until = able_until.filter(|until| Instant::now() < *until);
            tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                change = keeper.changed() => match change {
                    Some(Change::Gained(lease)) => self.gained(lease),
                    Some(Change::Lost(lease)) => self.lost(&lease),
                    None => break Err(Error::LeaseKeeperEnded),
                },
                Some(ended) = self.workers.join_next() => match ended {
                    Err(error) if error.is_panic() => break Err(Error::TaskPanicked(error)),
                    _ => {}
                },
                _ = connection.changed() => {
                    let up = connection.borrow_and_update().up;
                    unreachable_since = if up { None } else { unreachable_since.or_else(|| Some(Instant::now())) };
                }
                () = sleep_until(able_until.unwrap_or_else(Instant::now)), if able_until.is_some() => {}
                _ = &mut beside => {}
            }
        };
        self.drain().await;
        keeper.stop().await;
        result
    }

    /// Starts the worker of a partition.
    fn gained(&mut self, lease: Lease) {
        let (partition, epoch) = (partition_of(&lease), lease.epoch());
        let (config, latest_beacon) = (Arc::clone(&self.config), Arc::clone(&self.latest_beacon));
        let watch = self.outbox_watch.add(partition);
        let worker = Worker::new(partition, config, self.resources.clone(), latest_beacon, watch, lease);
        let abort = self.workers.spawn(worker.run(self.drain.clone()));
        self.owned.insert(partition, (epoch, abort));
        self.count_owned();
    }

    /// Aborts the worker of a partition. Its state is not needed: the next owner starts from the outbox.
    fn lost(&mut self, lease: &Lease) {
        if let Entry::Occupied(owned) = self.owned.entry(partition_of(lease))
            && owned.get().0 == lease.epoch()
        {
            owned.remove().1.abort();
            self.outbox_watch.remove(partition_of(lease));
        }
        self.count_owned();
    }

    fn count_owned(&self) {
        self.resources.metrics.partitions_owned.set(i64::try_from(self.owned.len()).unwrap_or(i64::MAX));
    }

    /// Tells all workers to drain, and waits for them.
    async fn drain(&mut self) {
        self.drain.cancel();
        while self.workers.join_next().await.is_some() {}
        self.owned.clear();
        self.count_owned();
    }
}

/// Returns the partition of a lease, which is the lease's key (see [`run`]).
fn partition_of(lease: &Lease) -> u32 {
    lease.key().parse().expect("a keeper takes leases of the keys in its configuration only")
}
