//! The window of one plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealbus_core::event::Header;

/// A plan, by its tenant and name. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanId {
    pub tenant: Arc<str>,
    pub name: Arc<str>,
}

impl PlanId {
    /// Returns the plan of an event.
    pub(crate) fn of(header: &Header) -> Self {
        Self { tenant: header.tenant.as_str().into(), name: header.plan.as_str().into() }
    }
}

/// An outbox row with its event.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    pub id: i64,
    /// The memory that the event takes.
    pub bytes: usize,
    pub event: T,
}

/// An event that waits to be sent.
pub(super) struct Waiting<T> {
    pub row: Row<T>,
    /// The first attempt to send this event, if there was one. All later attempts at its seq are of this event too.
    pub first_attempt: Option<u64>,
}

/// An event that was sent on this connection, and was neither acknowledged nor seen to fail.
pub(super) struct InFlight<T> {
    pub row: Row<T>,
    pub first_attempt: u64,
    pub attempt: u64,
}

/// The window of one plan.
pub(super) struct PlanWindow<T> {
    /// All events up to this seq are acknowledged. It may be lower than what is true, never higher.
    pub acknowledged: u64,
    /// Acknowledged seqs above `acknowledged`.
    pub acknowledged_ahead: BTreeSet<u64>,
    /// The events that wait to be sent, by seq.
    pub waiting: BTreeMap<u64, Waiting<T>>,
    /// The events that were sent and have no outcome yet, by seq.
    pub in_flight: BTreeMap<u64, InFlight<T>>,
    /// Whether the plan is in the queue of plans that may send.
    pub is_queued: bool,
    /// Whether the plan was handed out as undecided, or is in the queue of undecided plans.
    pub is_reported: bool,
    /// Whether the plan was used since idle plans were last forgotten.
    pub is_used: bool,
}

impl<T> Default for PlanWindow<T> {
    fn default() -> Self {
        Self {
            acknowledged: 0,
            acknowledged_ahead: BTreeSet::new(),
            waiting: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            is_queued: false,
            is_reported: false,
            is_used: true,
        }
    }
}

impl<T> PlanWindow<T> {
    /// Returns whether an event may be sent: its predecessor is acknowledged together with all before it, or in flight.
    fn may_send(&self, seq: u64) -> bool {
        seq <= self.acknowledged + 1
            || self.in_flight.contains_key(&(seq - 1))
            || self.acknowledged_ahead.contains(&(seq - 1))
    }

    /// Returns the seq of the next event to send, if there is one and fewer than `max_in_flight` are in flight.
    pub(super) fn next(&self, max_in_flight: usize) -> Option<u64> {
        let lowest = *self.waiting.first_key_value()?.0;
        (self.in_flight.len() < max_in_flight && self.may_send(lowest)).then_some(lowest)
    }

    /// Returns the lowest waiting seq, if nothing is known about its predecessor.
    pub(super) fn undecided(&self) -> Option<u64> {
        let lowest = *self.waiting.first_key_value()?.0;
        (!self.may_send(lowest)).then_some(lowest)
    }

    /// Returns whether an event is known to be acknowledged.
    pub(super) fn is_acknowledged(&self, seq: u64) -> bool {
        seq <= self.acknowledged || self.acknowledged_ahead.contains(&seq)
    }

    /// Records the acknowledgement of an event.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        if seq > self.acknowledged {
            self.acknowledged_ahead.insert(seq);
        }
        self.advance();
    }

    /// Records that all events before `seq` are acknowledged.
    pub(super) fn acknowledge_before(&mut self, seq: u64) {
        if seq > self.acknowledged + 1 {
            self.acknowledged = seq - 1;
            self.acknowledged_ahead = self.acknowledged_ahead.split_off(&seq);
            self.advance();
        }
    }

    fn advance(&mut self) {
        while self.acknowledged_ahead.remove(&(self.acknowledged + 1)) {
            self.acknowledged += 1;
        }
    }

    /// Returns whether no event waits or is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }
}
