//! A task: what there is to do for a plan now, and what follows when it is done.

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::event::Record;
use sealbus_ledger::delivery::positions::Position;

use crate::plan_name::PlanName;

/// A task for one plan. A plan has at most one task at a time.
pub(crate) struct PlanTask {
    pub plan: PlanName,
    /// The plan's position that the worker has in memory. `None` if the position has to be read.
    pub position: Option<Position>,
    pub work: Work,
}

/// The work to do for a plan.
pub(crate) enum Work {
    /// Events arrived from the broker.
    Arrived {
        /// The events, in the order in which they arrived.
        arrivals: Vec<Arrival>,
        /// Whether the plan or its tenant has more in memory than it may have.
        over_limit: bool,
        /// The failure of one of the events in a transaction of several plans.
        failure: Option<Failure>,
    },
    /// Replay, or a command of an operator, is due.
    Replay,
}

impl Work {
    /// Returns the highest seq that arrived, or 0 if no event did.
    pub(crate) fn highest_seq(&self) -> u64 {
        let Self::Arrived { arrivals, .. } = self else { return 0 };
        arrivals.iter().map(|arrival| arrival.record.header.seq).max().unwrap_or(0)
    }
}

/// An event that arrived for a plan. Its seal has been checked.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub record: Arc<Record>,
    /// Whether the event was delivered so often that it may have ended the process each time.
    pub suspect: bool,
}

/// The outcome of a plan's task, which tells the worker what to do next.
pub(crate) enum PlanOutcome {
    /// The task is done, and this is the durable position. The worker acknowledges the messages that the position
    /// covers and queues the others again.
    Settled(Position),
    /// The task is done in the same way as for `Settled`, but replay has more to do: the worker queues another round of
    /// replay.
    ReplayAgain(Position),
    /// The ledger does not have the plan, the subscription has no floor in its partition, or its position cannot be read.
    /// The worker discards the plan's messages unacknowledged; the broker delivers them again.
    Unknown,
    /// The position cannot be read, but it is not live, and the events up to this seq are noted in it. The worker
    /// acknowledges their messages.
    Noted(u64),
    /// The task is not done: the position was not where it was read, or a transaction of several plans was rolled back.
    /// The worker repeats the task by itself, with the position that is stored now, and with the failure of the plan's
    /// own event, if it was that event that failed.
    Repeat(Option<Failure>),
}

/// An event that failed, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub seq: u64,
    /// Calls of the handler that count.
    pub attempts: u32,
    /// The errors of the calls that are not stored yet, oldest first.
    pub errors: Vec<String>,
    /// How long the attempts at the event, and the pauses between them, have held the plan in memory.
    pub held: Duration,
}

impl Failure {
    /// Returns the failure of an event after some attempts, of which the last one has this error.
    pub(crate) fn of(seq: u64, attempts: u32, error: String) -> Self {
        Self { seq, attempts, errors: vec![error], held: Duration::ZERO }
    }

    /// Counts another failure of the same event.
    pub(crate) fn again(mut self, error: String) -> Self {
        self.attempts += 1;
        self.errors.push(error);
        self
    }
}
