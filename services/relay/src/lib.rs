//! The relay: takes events from the outbox to the stream, each plan's in order (PROTOCOL, Relay).
//!
//! Any number of relays may run. They share the ledger's partitions by leases, and each partition that a relay holds has a
//! `worker` of its own, which dies with its lease. Two relays on one partition double messages and lose none: leases save
//! work, and the rules of `window` keep the order.
//!
//! | module | which part of the rules |
//! |---|---|
//! | `window` | 1 and 2: which event may be sent next, and what a failure means; pure |
//! | `hints` | 3: hints are checked, and dropped when there are too many |
//! | `bound` | 3: where a sweep of the outbox begins; pure |
//! | `look` | 3 and 4: what is read from the outbox, and what is deleted, and phantoms |
//! | `acks` | acknowledgements, on a task of their own |
//! | `pause` | a stream that is full or refuses |
//! | `beacons` | what is written down for the finding of lost messages |

mod acks;
mod beacons;
mod bound;
mod hints;
mod metrics;
mod outbox_scan;
mod pause;
mod window;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::topology::TopologySettings;
use sealbus_broker::{Broker, Connection};
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::leases::keeper::{Change, Keeper, KeeperConfig, Lease};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::beacons::Board;
pub use crate::metrics::{Cause, HintFate, Metrics};
use crate::worker::Worker;

/// How a relay goes about it.
#[derive(Clone, Debug)]
pub struct Config {
    /// This process, by a name that no other process has or had.
    pub holder: String,
    /// Relays of one group share the partitions.
    pub group: String,
    /// The streams, which a relay makes where they are missing.
    pub topology: TopologySettings,
    /// Events of one plan that may be in flight at once.
    pub window: usize,
    /// Rows that one look into the outbox brings, and about as many may be in memory for each partition.
    pub page: u32,
    /// Bytes of events that may be in memory for each partition, but for the last one taken in.
    pub memory: usize,
    /// How often the outbox is looked into for what hints missed.
    pub sweep: Duration,
    /// How often that is done without the low-water bound.
    pub full_sweep: Duration,
    /// How often at most the low-water bound is moved.
    pub bound_every: Duration,
    /// How long a partition is this relay's after it last renewed it.
    pub lease: Duration,
    /// How often it renews.
    pub renew: Duration,
    /// How often a beacon is recorded, while messages are acknowledged.
    pub beacons: Duration,
    /// How often the depth of the outbox is counted.
    pub depth: Duration,
    /// How long, at the end, acknowledgements are waited for.
    pub drain: Duration,
}

impl Config {
    /// The protocol's settings for a process of this name.
    pub fn new(holder: impl Into<String>) -> Self {
        Self {
            holder: holder.into(),
            group: "relay".to_owned(),
            topology: TopologySettings::default(),
            window: 64,
            page: 500,
            memory: 4 << 20,
            sweep: Duration::from_millis(500),
            full_sweep: Duration::from_mins(1),
            bound_every: Duration::from_secs(2),
            lease: Duration::from_secs(10),
            renew: Duration::from_secs(3),
            beacons: Duration::from_secs(10),
            depth: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }
}

/// What a relay works with.
#[derive(Clone)]
pub struct Resources {
    /// The ledger.
    pub ledger: Ledger,
    /// The broker.
    pub broker: Broker,
    /// Whose seals are trusted.
    pub keyring: Arc<Keyring>,
    /// Its counters.
    pub metrics: Metrics,
}

/// Why a relay ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task of its own panicked. The process should end: what is owed stands in the outbox.
    #[error("a task of the relay broke")]
    Broken(#[source] tokio::task::JoinError),
    /// The lease keeper ended.
    #[error("the keeper of the relay's leases ended")]
    Leases,
}

/// Relays until `shutdown`; then takes in no more, waits for what is under way, and gives its partitions back.
///
/// A ledger or a broker that is away is waited for; meanwhile what is owed stands in the outbox.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), Error> {
    let config = Arc::new(config);
    if !make_streams(&config, &resources.broker, &shutdown).await {
        return Ok(());
    }
    let partitions = resources.ledger.deployment().partitions;
    let keeper = KeeperConfig {
        lease_duration: config.lease,
        renew_interval: config.renew,
        ..KeeperConfig::new(
            &config.group,
            (0..partitions).map(|partition| partition.to_string()).collect(),
            &config.holder,
        )
    };
    let keeper = Keeper::start(resources.ledger.clone(), keeper);
    let relay = Relay { board: Arc::default(), workers: JoinSet::new(), owned: BTreeMap::new(), config, resources };
    relay.run(keeper, shutdown).await
}

/// Makes the streams; false when the process is to end before that succeeded.
async fn make_streams(config: &Config, broker: &Broker, shutdown: &CancellationToken) -> bool {
    let mut said = false;
    loop {
        let made = tokio::select! {
            () = shutdown.cancelled() => return false,
            made = broker.ensure_topology(&config.topology) => made,
        };
        let Err(error) = made else { return true };
        if !std::mem::replace(&mut said, true) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the streams cannot be made; it will be tried again"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => return false,
            () = sleep(Duration::from_millis(500)) => {}
        }
    }
}

struct Owned {
    epoch: i64,
    /// Ends its worker in order.
    stop: CancellationToken,
    /// Ends it at once.
    abort: tokio::task::AbortHandle,
}

struct Relay {
    config: Arc<Config>,
    resources: Resources,
    board: Arc<Board>,
    workers: JoinSet<()>,
    owned: BTreeMap<u32, Owned>,
}

impl Relay {
    async fn run(mut self, mut keeper: Keeper, shutdown: CancellationToken) -> Result<(), Error> {
        let Resources { ledger, broker, .. } = self.resources.clone();
        let board = Arc::clone(&self.board);
        let beacons = beacons::record(ledger, broker.clone(), &board, self.config.beacons);
        tokio::pin!(beacons);
        let mut depth = interval(self.config.depth);
        depth.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = broker.connection();
        let mut away_since = None;
        let result = loop {
            // A relay that cannot reach the broker gives its partitions to one that can; not at the first blink.
            let able_until = away_since.map(|since: Instant| since + self.config.lease / 2);
            keeper.set_able(able_until.is_none_or(|until| Instant::now() < until));
            let able_until = able_until.filter(|until| Instant::now() < *until);
            tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                change = keeper.changed() => match change {
                    Some(Change::Gained(lease)) => self.gained(lease),
                    Some(Change::Lost(lease)) => self.lost(&lease),
                    None => break Err(Error::Leases),
                },
                Some(ended) = self.workers.join_next() => match ended {
                    Err(error) if error.is_panic() => break Err(Error::Broken(error)),
                    _ => {}
                },
                _ = connection.changed() => {
                    let Connection { up, .. } = *connection.borrow_and_update();
                    away_since = if up { None } else { away_since.or_else(|| Some(Instant::now())) };
                }
                () = sleep_until(able_until.unwrap_or_else(Instant::now)), if able_until.is_some() => {}
                _ = depth.tick() => self.count_depth().await,
                () = &mut beacons => {}
            }
        };
        self.drain().await;
        keeper.stop().await;
        result
    }

    fn gained(&mut self, lease: Lease) {
        let Ok(partition) = lease.key().parse::<u32>() else { return };
        let (epoch, stop) = (lease.epoch(), CancellationToken::new());
        let worker = Worker::new(partition, Arc::clone(&self.config), &self.resources, Arc::clone(&self.board), lease);
        let abort = self.workers.spawn(worker.run(stop.clone()));
        self.owned.insert(partition, Owned { epoch, stop, abort });
        self.count_owned();
    }

    fn lost(&mut self, lease: &Lease) {
        let Ok(partition) = lease.key().parse::<u32>() else { return };
        if self.owned.get(&partition).is_some_and(|owned| owned.epoch == lease.epoch()) {
            // Nothing of it is worth waiting for: the next holder begins from the outbox.
            self.owned.remove(&partition).iter().for_each(|owned| owned.abort.abort());
        }
        self.count_owned();
    }

    fn count_owned(&self) {
        self.resources.metrics.partitions.set(i64::try_from(self.owned.len()).unwrap_or(i64::MAX));
    }

    async fn count_depth(&self) {
        let partitions: Vec<u32> = self.owned.keys().copied().collect();
        match self.resources.ledger.outbox().depth(&partitions).await {
            Ok(depths) => self.resources.metrics.outbox(&depths),
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the outbox could not be counted"),
        }
    }

    async fn drain(&mut self) {
        for owned in self.owned.values() {
            owned.stop.cancel();
        }
        while self.workers.join_next().await.is_some() {}
        self.owned.clear();
        self.count_owned();
    }
}
