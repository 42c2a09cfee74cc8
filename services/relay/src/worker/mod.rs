//! The work on one partition, from the moment its lease is gained until it is lost.
//!
//! One loop holds all of the partition's state and decides; what takes time runs beside it: acknowledgements, hints, one
//! look into the outbox at a time and one deletion. Nothing here is needed after a crash: what is owed stands in the outbox.

mod delete;
mod send;
mod take;

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

use crate::acks::Acks;
use crate::beacons::Board;
use crate::bound::LowWater;
use crate::hints::{Expected, HintIntake};
use crate::metrics::Metrics;
use crate::outbox_scan::{Deleting, Done, Looking};
use crate::pause::Pause;
use crate::window::Windows;
use crate::{Config, Resources};

/// Idle plans of which a partition remembers what was acknowledged.
const REMEMBERED_PLANS: usize = 8_192;
/// After a ledger that failed.
const LEDGER_PAUSE: Duration = Duration::from_millis(500);

/// An event on its way through a worker.
#[derive(Clone)]
struct Event {
    record: Arc<Record>,
    /// Its plan's number, where the ledger told it.
    plan_no: Option<i64>,
}

/// The worker of one partition.
pub(crate) struct Worker {
    partition: u32,
    config: Arc<Config>,
    ledger: Ledger,
    broker: Broker,
    metrics: Metrics,
    board: Arc<Board>,
    lease: Lease,
    connection: watch::Receiver<Connection>,
    on: Connection,

    windows: Windows<Event>,
    water: LowWater,
    pause: Pause,
    /// Whether the streams are to be made before anything is sent again.
    streams_missing: bool,
    acks: Acks,
    hints: HintIntake,
    /// Hints were dropped.
    missed: Arc<Notify>,

    look: Option<Looking>,
    /// Whether the last look was a question about plans: then a sweep that waits goes first.
    asked_last: bool,
    /// Rows that were deleted since the look under way began, and that it may still show.
    gone: HashSet<i64>,
    sweep: Sweep,
    next_sweep: Instant,
    next_full_sweep: Instant,
    next_bound: Instant,
    ledger_pause: Option<Instant>,
    /// Plans that hold an event that cannot be sent, until the next full sweep.
    blocked: HashSet<i64>,

    done: Vec<Done>,
    delete_at: Option<Instant>,
    deleting: Option<Deleting>,
}

/// How far a sweep of the outbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sweep {
    Idle,
    /// The next page begins at this id; the first one of a sweep without bound at the lowest there can be.
    At {
        from: i64,
        first: bool,
    },
}

impl Worker {
    /// A worker that has done nothing yet.
    pub(crate) fn new(
        partition: u32,
        config: Arc<Config>,
        resources: &Resources,
        board: Arc<Board>,
        lease: Lease,
    ) -> Self {
        let Resources { ledger, broker, keyring, metrics } = resources;
        let deployment = ledger.deployment();
        let expected = Expected {
            origin: deployment.origin.clone(),
            partitions: deployment.partitions,
            partition,
            keyring: Arc::clone(keyring),
        };
        let (connection, now) = (broker.connection(), Instant::now());
        let on = *connection.borrow();
        let hints = HintIntake::start(broker.clone(), expected, metrics.clone());
        Self {
            partition,
            ledger: ledger.clone(),
            broker: broker.clone(),
            metrics: metrics.clone(),
            board,
            lease,
            connection,
            on,
            windows: Windows::new(config.window, REMEMBERED_PLANS),
            water: LowWater::default(),
            pause: Pause::default(),
            streams_missing: false,
            acks: Acks::start(),
            missed: hints.missed(),
            hints,
            look: None,
            asked_last: false,
            gone: HashSet::new(),
            sweep: Sweep::Idle,
            next_sweep: now,
            next_full_sweep: now,
            next_bound: now,
            ledger_pause: None,
            blocked: HashSet::new(),
            done: Vec::new(),
            delete_at: None,
            deleting: None,
            config,
        }
    }

    /// Works until `stop`; then takes in nothing more, and comes back when what was sent has been acknowledged and deleted,
    /// or [`Config::drain`] has passed. To be dropped when the lease is lost.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut drained_by = None;
        loop {
            if stop.is_cancelled() {
                let by = *drained_by.get_or_insert_with(|| Instant::now() + self.config.drain);
                let empty = self.windows.in_flight() == 0 && self.done.is_empty() && self.deleting.is_none();
                if empty || Instant::now() >= by {
                    return;
                }
            }
            let draining = drained_by.is_some();
            let more_to_send = if draining { false } else { self.send().await };
            self.start_look(draining);
            self.start_deletion(draining);
            let room = !draining && self.has_room();
            let wake = [self.wake(draining), drained_by].into_iter().flatten().min();
            tokio::select! {
                () = stop.cancelled(), if !draining => {}
                _ = self.connection.changed() => self.connection_changed(),
                outcome = self.acks.next() => {
                    self.settle(outcome);
                    while let Some(outcome) = self.acks.ready() {
                        self.settle(outcome);
                    }
                }
                deletion = under_way(&mut self.deleting) => self.deleted(deletion),
                look = under_way(&mut self.look) => self.looked(look),
                hinted = self.hints.next(), if room => {
                    self.take_hint(hinted);
                    while self.has_room() && let Some(hinted) = self.hints.ready() {
                        self.take_hint(hinted);
                    }
                }
                () = self.missed.notified() => self.next_sweep = Instant::now(),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = std::future::ready(()), if more_to_send => {}
            }
        }
    }

    /// Whether more may be taken into memory.
    fn has_room(&self) -> bool {
        self.windows.rows() < self.config.page as usize && self.windows.bytes() < self.config.memory
    }

    /// When something falls due by itself.
    fn wake(&self, draining: bool) -> Option<Instant> {
        let now = Instant::now();
        let may_sweep = self.look.is_none() && self.on.up && !draining;
        let sweep = may_sweep.then_some(self.next_sweep);
        let sweep = sweep.map(|sweep| self.ledger_pause.map_or(sweep, |pause| pause.max(sweep)));
        [
            sweep,
            self.pause.until(now),
            self.ledger_pause.filter(|pause| *pause > now),
            self.delete_at.filter(|at| *at > now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn connection_changed(&mut self) {
        let on = *self.connection.borrow_and_update();
        if on.number != self.on.number || !on.up {
            self.windows.connection_lost();
        }
        self.on = on;
    }
}

/// What runs beside the loop, if anything does; it is gone once it has answered.
async fn under_way<T>(future: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match future {
        Some(running) => {
            let answer = running.await;
            *future = None;
            answer
        }
        None => pending().await,
    }
}
