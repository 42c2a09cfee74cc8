//! The worker of one partition, which runs while this relay owns the partition's lease.
//!
//! One loop owns all state of the partition and takes all decisions. Whatever takes time runs next to it: acknowledgements,
//! hints, one scan of the outbox and one deletion at a time. A crash loses nothing, because the outbox has every event that
//! is not acknowledged.

mod delete;
mod intake;
mod send;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use sealbus_broker::Connection;
use sealbus_core::event::Record;
use sealbus_ledger::leases::keeper::Lease;
use sealbus_ledger::low_water::LowWater;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::delete::Deletion;
use self::send::Outcome;
use crate::backoff::Backoff;
use crate::beacons::LatestBeacon;
use crate::hints::HintIntake;
use crate::known_plans::KnownPlans;
use crate::outbox_scan::Scan;
use crate::outbox_watch::PartitionWatch;
use crate::window::{Row, Windows};
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
    resources: Resources,
    latest_beacon: Arc<LatestBeacon>,
    watch: Arc<PartitionWatch>,
    lease: Lease,
    connection_changes: watch::Receiver<Connection>,
    connection: Connection,

    windows: Windows<Event>,
    low_water: LowWater,
    backoff: Backoff,
    /// Whether the streams have to be created before the next event is sent.
    streams_missing: bool,
    /// The tasks that await acknowledgements, one for each event in flight.
    outcomes: JoinSet<Outcome>,
    hints: HintIntake,

    scan: Option<Scan>,
    /// Whether the last scan was for predecessors. Then an outbox scan that is due takes precedence.
    scanned_predecessors: bool,
    /// Rows that were deleted since the running scan started. Its result may still contain them.
    deleted_rows: HashSet<i64>,
    /// The next page of the outbox scan, or `None` if no outbox scan is running.
    next_page: Option<NextPage>,
    known_plans: KnownPlans,
    next_outbox_scan: Instant,
    /// Whether the outbox may have rows that the last outbox scan did not find.
    rows_expected: bool,
    next_full_scan: Instant,
    /// When the first page of the full outbox scan that is running was asked for.
    full_scan_started: Option<Instant>,
    next_low_water: Instant,
    ledger_paused_until: Option<Instant>,
    /// The numbers of plans with an event that cannot be sent. They are tried again with each full outbox scan.
    blocked: HashSet<i64>,

    acknowledged: Vec<Row<Event>>,
    delete_at: Option<Instant>,
    deletion: Option<Deletion>,
}

/// A page of an outbox scan. The first page of a full outbox scan starts at the lowest possible id.
#[derive(Clone, Copy)]
struct NextPage {
    /// The lowest id of the page.
    from: i64,
    is_first: bool,
}

impl Worker {
    /// Creates a worker with empty windows.
    pub(crate) fn new(
        partition: u32,
        config: Arc<Config>,
        resources: Resources,
        latest_beacon: Arc<LatestBeacon>,
        watch: Arc<PartitionWatch>,
        lease: Lease,
    ) -> Self {
        let (connection_changes, now) = (resources.broker.connection(), Instant::now());
        let connection = *connection_changes.borrow();
        Self {
            partition,
            latest_beacon,
            watch,
            lease,
            connection_changes,
            connection,
            windows: Windows::new(config.max_in_flight, MAX_IDLE_PLANS),
            low_water: LowWater::default(),
            backoff: Backoff::default(),
            streams_missing: false,
            outcomes: JoinSet::new(),
            hints: HintIntake::start(resources.clone(), partition),
            scan: None,
            scanned_predecessors: false,
            deleted_rows: HashSet::new(),
            next_page: None,
            known_plans: KnownPlans::default(),
            next_outbox_scan: now,
            rows_expected: true,
            next_full_scan: now,
            full_scan_started: None,
            next_low_water: now,
            ledger_paused_until: None,
            blocked: HashSet::new(),
            acknowledged: Vec::new(),
            delete_at: None,
            deletion: None,
            config,
            resources,
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
            let more_to_send = !draining && self.send().await;
            self.start_scan(draining);
            self.start_deletion(draining);
            self.watch.update(self.low_water.bound(), self.is_idle(), self.blocked.len());
            let may_add = !draining && self.has_capacity();
            let wake = [self.next_wake(draining), drain_until].into_iter().flatten().min();
            tokio::select! {
                () = stop.cancelled(), if !draining => {}
                _ = self.connection_changes.changed() => self.on_connection_changed(),
                Some(outcome) = self.outcomes.join_next() => {
                    self.on_outcome(outcome);
                    while let Some(outcome) = self.outcomes.try_join_next() {
                        self.on_outcome(outcome);
                    }
                }
                Some((rows, result)) = OptionFuture::from(self.deletion.as_mut()) => self.on_deleted(rows, result),
                Some(result) = OptionFuture::from(self.scan.as_mut()) => self.on_scanned(result),
                Some(hint) = self.hints.events.recv(), if may_add => {
                    self.add_hinted(hint);
                    while self.has_capacity() && let Ok(hint) = self.hints.events.try_recv() {
                        self.add_hinted(hint);
                    }
                }
                () = self.hints.dropped.notified() => self.expect_rows(),
                () = self.watch.rows_found.notified() => self.expect_rows(),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = std::future::ready(()), if more_to_send => {}
            }
        }
    }

    /// Returns whether more events may be added to memory.
    fn has_capacity(&self) -> bool {
        self.windows.events() < self.config.page_rows as usize && self.windows.bytes() < self.config.max_memory_bytes
    }

    /// Returns whether there is nothing to do until a hint arrives, or rows are found beside this loop: the last outbox scan
    /// found no row, and its low-water bound is as high as it can be.
    fn is_idle(&self) -> bool {
        let has_events = self.windows.events() > 0 || !self.acknowledged.is_empty() || self.deletion.is_some();
        !has_events && !self.rows_expected && self.next_page.is_none() && self.low_water.is_settled()
    }

    /// Starts an outbox scan as soon as possible.
    fn expect_rows(&mut self) {
        self.rows_expected = true;
        self.next_outbox_scan = Instant::now();
    }

    /// Returns the time of the next outbox scan.
    fn next_outbox_scan(&self) -> Instant {
        if self.is_idle() { self.next_outbox_scan.max(self.next_full_scan) } else { self.next_outbox_scan }
    }

    /// Returns the end of the pause after a failure of the ledger, or `None` if there is no pause now.
    fn ledger_paused_until(&self, now: Instant) -> Option<Instant> {
        self.ledger_paused_until.filter(|until| now < *until)
    }

    /// Returns the time at which the loop has to run again even if nothing happens.
    fn next_wake(&self, draining: bool) -> Option<Instant> {
        let now = Instant::now();
        let ledger_pause = self.ledger_paused_until(now);
        let may_scan = self.scan.is_none() && self.connection.up && !draining && ledger_pause.is_none();
        let outbox_scan = may_scan.then(|| self.next_outbox_scan());
        let deletion = self.delete_at.filter(|time| now < *time);
        [outbox_scan, self.backoff.paused_until(now), ledger_pause, deletion].into_iter().flatten().min()
    }

    fn on_connection_changed(&mut self) {
        let connection = *self.connection_changes.borrow_and_update();
        if connection.number != self.connection.number || !connection.up {
            self.windows.on_connection_lost();
        }
        self.connection = connection;
    }
}
