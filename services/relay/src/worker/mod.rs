//! The worker of one partition, which runs while this relay owns the partition's lease.
//!
//! One loop owns all state of the partition and takes all decisions. Whatever takes time runs next to it: acknowledgements,
//! hints, one scan of the outbox and one deletion at a time. A crash loses nothing, because the outbox has every event that
//! is not acknowledged.

mod delete;
mod intake;
mod send;

use std::collections::HashSet;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::{Broker, Connection};
use sealbus_core::event::Record;
use sealbus_ledger::Ledger;
use sealbus_ledger::leases::keeper::Lease;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::delete::{AcknowledgedRow, Deletion};
use crate::acks::Acks;
use crate::backoff::Backoff;
use crate::beacons::LatestBeacon;
use crate::hints::{ExpectedEvents, HintIntake};
use crate::low_water::LowWater;
use crate::metrics::Metrics;
use crate::outbox_scan::Scan;
use crate::window::Windows;
use crate::{Config, Resources};

/// The number of idle plans of which a partition remembers the acknowledgements.
const MAX_IDLE_PLANS: usize = 8_192;
/// The pause after the ledger failed.
const LEDGER_PAUSE: Duration = Duration::from_millis(500);

/// An event in the windows of a worker.
#[derive(Clone)]
struct Event {
    record: Arc<Record>,
    /// The plan's number, if the event was read from the ledger.
    plan_no: Option<i64>,
}

/// The worker of one partition.
pub(crate) struct Worker {
    partition: u32,
    config: Arc<Config>,
    ledger: Ledger,
    broker: Broker,
    metrics: Metrics,
    latest_beacon: Arc<LatestBeacon>,
    lease: Lease,
    connection_changes: watch::Receiver<Connection>,
    connection: Connection,

    windows: Windows<Event>,
    low_water: LowWater,
    backoff: Backoff,
    /// Whether the streams have to be created before the next event is sent.
    streams_missing: bool,
    acks: Acks,
    hints: HintIntake,
    /// Notified when hints were dropped.
    hints_dropped: Arc<Notify>,

    scan: Option<Scan>,
    /// Whether the last scan was for predecessors. Then an outbox scan that is due takes precedence.
    scanned_predecessors: bool,
    /// Rows that were deleted since the running scan started. Its result may still contain them.
    deleted_rows: HashSet<i64>,
    sweep: Sweep,
    next_sweep: Instant,
    next_full_sweep: Instant,
    next_low_water: Instant,
    ledger_paused_until: Option<Instant>,
    /// The numbers of plans with an event that cannot be sent. They are tried again with each full outbox scan.
    blocked: HashSet<i64>,

    acknowledged: Vec<AcknowledgedRow>,
    delete_at: Option<Instant>,
    deletion: Option<Deletion>,
}

/// The progress of an outbox scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sweep {
    /// No outbox scan is running.
    Idle,
    /// The next page starts at id `from`. The first page of a full outbox scan starts at the lowest possible id.
    At { from: i64, is_first_page: bool },
}

impl Worker {
    /// Creates a worker with empty windows.
    pub(crate) fn new(
        partition: u32,
        config: Arc<Config>,
        resources: &Resources,
        latest_beacon: Arc<LatestBeacon>,
        lease: Lease,
    ) -> Self {
        let Resources { ledger, broker, keyring, metrics } = resources;
        let deployment = ledger.deployment();
        let expected = ExpectedEvents {
            origin: deployment.origin.clone(),
            partitions: deployment.partitions,
            partition,
            keyring: Arc::clone(keyring),
        };
        let (connection_changes, now) = (broker.connection(), Instant::now());
        let connection = *connection_changes.borrow();
        let hints = HintIntake::start(broker.clone(), expected, metrics.clone());
        Self {
            partition,
            ledger: ledger.clone(),
            broker: broker.clone(),
            metrics: metrics.clone(),
            latest_beacon,
            lease,
            connection_changes,
            connection,
            windows: Windows::new(config.max_in_flight, MAX_IDLE_PLANS),
            low_water: LowWater::default(),
            backoff: Backoff::default(),
            streams_missing: false,
            acks: Acks::start(),
            hints_dropped: hints.dropped(),
            hints,
            scan: None,
            scanned_predecessors: false,
            deleted_rows: HashSet::new(),
            sweep: Sweep::Idle,
            next_sweep: now,
            next_full_sweep: now,
            next_low_water: now,
            ledger_paused_until: None,
            blocked: HashSet::new(),
            acknowledged: Vec::new(),
            delete_at: None,
            deletion: None,
            config,
        }
    }

    /// Relays events until `stop` fires. Then it adds no more events, and returns when those in flight are acknowledged and
    /// deleted, or after [`Config::drain_timeout`]. The caller drops the future when the lease is lost.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut drain_until = None;
        loop {
            if stop.is_cancelled() {
                let until = *drain_until.get_or_insert_with(|| Instant::now() + self.config.drain_timeout);
                let is_drained =
                    self.windows.in_flight() == 0 && self.acknowledged.is_empty() && self.deletion.is_none();
                if is_drained || Instant::now() >= until {
                    return;
                }
            }
            let draining = drain_until.is_some();
            let more_to_send = if draining { false } else { self.send().await };
            self.start_scan(draining);
            self.start_deletion(draining);
            let may_add = !draining && self.has_capacity();
            let wake = [self.next_wake(draining), drain_until].into_iter().flatten().min();
            tokio::select! {
                () = stop.cancelled(), if !draining => {}
                _ = self.connection_changes.changed() => self.on_connection_changed(),
                outcome = self.acks.next() => {
                    self.on_outcome(outcome);
                    while let Some(outcome) = self.acks.try_next() {
                        self.on_outcome(outcome);
                    }
                }
                result = result_of(&mut self.deletion) => self.on_deleted(result),
                result = result_of(&mut self.scan) => self.on_scanned(result),
                hint = self.hints.next(), if may_add => {
                    self.add_hinted(hint);
                    while self.has_capacity() && let Some(hint) = self.hints.try_next() {
                        self.add_hinted(hint);
                    }
                }
                () = self.hints_dropped.notified() => self.next_sweep = Instant::now(),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = std::future::ready(()), if more_to_send => {}
            }
        }
    }

    /// Returns whether more events may be added to memory.
    fn has_capacity(&self) -> bool {
        self.windows.events() < self.config.page_rows as usize && self.windows.bytes() < self.config.max_memory_bytes
    }

    /// Returns the time at which the loop has to run again even if nothing happens.
    fn next_wake(&self, draining: bool) -> Option<Instant> {
        let now = Instant::now();
        let may_sweep = self.scan.is_none() && self.connection.up && !draining;
        let sweep = may_sweep.then_some(self.next_sweep);
        let sweep = sweep.map(|sweep| self.ledger_paused_until.map_or(sweep, |until| until.max(sweep)));
        [
            sweep,
            self.backoff.paused_until(now),
            self.ledger_paused_until.filter(|until| *until > now),
            self.delete_at.filter(|time| *time > now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn on_connection_changed(&mut self) {
        let connection = *self.connection_changes.borrow_and_update();
        if connection.number != self.connection.number || !connection.up {
            self.windows.on_connection_lost();
        }
        self.connection = connection;
    }
}

/// Waits for the result of a future, and removes the future then. Waits for ever if there is none.
async fn result_of<T>(future: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match future {
        Some(running) => {
            let result = running.await;
            *future = None;
            result
        }
        None => pending().await,
    }
}
