//! The state that a worker has in memory for one plan.

use std::time::Instant;

use sealbus_ledger::delivery::positions::Position;

use crate::plan::message::QueuedMessage;
use crate::plan::task::{Arrival, Failure, PlanTask, Work};
use crate::plan_name::PlanName;

/// The delivery from which on a message is suspected of ending its process, since no earlier one was acknowledged.
const POISON_AFTER: u64 = 4;

/// The activity of a plan's slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// There is nothing to do.
    Idle,
    /// There is something to do, and the plan is in the queue of ready plans.
    Ready,
    /// A task of the plan is in flight.
    Busy,
}

/// Whether the plan's messages fit into memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Normal,
    /// The plan or its tenant is over its limit: the plan's next task defers it.
    OverLimit,
    /// The plan or its tenant is over its limit, and the plan is being deferred while its task is in flight.
    Deferring,
}

/// One plan in memory.
pub(super) struct Slot<M> {
    /// The messages that wait for the next task.
    pub queue: Vec<QueuedMessage<M>>,
    /// The messages of the task in flight.
    pub in_flight: Vec<QueuedMessage<M>>,
    /// The position after the last task; `None` if the next task has to read it.
    pub position: Option<Position>,
    pub activity: Activity,
    pub load: Load,
    /// Whether replay is due.
    pub replay: bool,
    /// Whether the last task was a round of replay.
    pub replayed_last: bool,
    /// Whether the next task shares no transaction, because something of it failed.
    pub alone: bool,
    /// The failure that the plan met in a shared transaction.
    pub failure: Option<Failure>,
    /// The next task does not begin before this time.
    pub not_before: Option<Instant>,
    /// When something happened to the plan last.
    pub touched: Instant,
}

impl<M> Slot<M> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            queue: Vec::new(),
            in_flight: Vec::new(),
            position: None,
            activity: Activity::Idle,
            load: Load::Normal,
            replay: false,
            replayed_last: false,
            alone: false,
            failure: None,
            not_before: None,
            touched: now,
        }
    }

    /// Compares the queue with the plan's limit. While the plan is being deferred, that is left to the end of
    /// deferring.
    pub(super) fn update_load(&mut self, max_messages: usize) {
        if self.load != Load::Deferring {
            self.load = if self.queue.len() > max_messages { Load::OverLimit } else { Load::Normal };
        }
    }

    /// Returns whether the plan's next task must not share a transaction with other plans.
    ///
    /// A message that was delivered before may have ended its process, and would take the other plans with it.
    pub(super) fn must_be_alone(&self) -> bool {
        self.alone || self.replay || self.load != Load::Normal || self.queue.iter().any(|queued| queued.deliveries > 1)
    }

    /// Begins the plan's next task. Replay and arrived events take turns.
    pub(super) fn begin(&mut self, plan: PlanName) -> PlanTask {
        self.activity = Activity::Busy;
        if self.replay && (self.queue.is_empty() || !self.replayed_last) {
            (self.replay, self.replayed_last) = (false, true);
            return PlanTask { plan, position: None, work: Work::Replay };
        }
        self.replayed_last = false;
        self.in_flight = std::mem::take(&mut self.queue);
        let arrivals = self.in_flight.iter().map(|queued| {
            let suspect = queued.deliveries >= POISON_AFTER;
            Arrival { record: queued.record.clone(), suspect }
        });
        let (arrivals, over_limit, failure) = (arrivals.collect(), self.load != Load::Normal, self.failure.take());
        PlanTask { plan, position: self.position.clone(), work: Work::Arrived { arrivals, over_limit, failure } }
    }
}
