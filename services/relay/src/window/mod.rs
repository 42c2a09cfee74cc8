//! The decision which event may be sent next (`docs/spec/protocol.md#relay-1`, `docs/spec/protocol.md#relay-2`), without I/O.
//!
//! A plan has events that wait, events in flight (sent on this connection, and neither acknowledged nor seen to fail), and
//! `acknowledged`, a seq up to which all events are known to be acknowledged. An event may be sent when its predecessor is
//! known to be acknowledged together with all before it, or is in flight. This covers all cases of the specification:
//! * "its seq is 1": no event precedes it, and `acknowledged` is at least 0;
//! * "it is the smallest of its plan in the whole outbox": rows are deleted after their acknowledgement, so all events before
//!   it are acknowledged ([`Windows::set_smallest`]);
//! * "this relay knows that the event before it, and all before that, were acknowledged": it received the acknowledgements.
//!
//! A plan's events are sent in ascending order from the lowest waiting one on, so after a failure at n again from n.

mod plan;

use std::collections::{HashMap, VecDeque};

use self::plan::{InFlight, PlanWindow, Waiting};
pub(crate) use self::plan::{PlanId, Row};

/// Where the relay learnt of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A hint. It may be late, so that the event was acknowledged long ago.
    Hint,
    /// The outbox. The row exists, so the event has to be sent, also if it was acknowledged before.
    Outbox,
}

/// One attempt to send an event.
#[derive(Clone, Debug)]
pub(crate) struct Attempt<T> {
    pub plan: PlanId,
    pub seq: u64,
    /// The number of this attempt, unique within the partition and ascending.
    pub number: u64,
    pub event: T,
}

/// A plan of which it is not known whether the predecessor of its lowest waiting event was acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UndecidedPlan {
    pub plan: PlanId,
    /// The lowest waiting seq.
    pub lowest: u64,
    /// The highest waiting seq.
    pub highest: u64,
    /// All events up to this seq are acknowledged.
    pub acknowledged: u64,
}

impl UndecidedPlan {
    /// Returns the tenant, the name, and the lowest seq that is not known to be acknowledged.
    pub(crate) fn place(&self) -> (&str, &str, u64) {
        (&self.plan.tenant, &self.plan.name, self.acknowledged + 1)
    }
}

/// The windows of all plans of a partition.
pub(crate) struct Windows<T> {
    plans: HashMap<PlanId, PlanWindow<T>>,
    /// The outbox rows whose events wait, are in flight, or are acknowledged and not deleted yet.
    known_rows: HashMap<i64, PlanId>,
    /// The plans that may send, each once.
    ready: VecDeque<PlanId>,
    /// The undecided plans that have not been handed out by [`Windows::take_undecided`].
    undecided: VecDeque<PlanId>,
    attempts: u64,
    max_in_flight: usize,
    max_idle_plans: usize,
    events: usize,
    in_flight: usize,
    bytes: usize,
}

impl<T: Clone> Windows<T> {
    /// Creates windows with up to `max_in_flight` events of each plan in flight. The acknowledgements of about
    /// `max_idle_plans` plans without events are remembered.
    pub(crate) fn new(max_in_flight: usize, max_idle_plans: usize) -> Self {
        Self {
            plans: HashMap::new(),
            known_rows: HashMap::new(),
            ready: VecDeque::new(),
            undecided: VecDeque::new(),
            attempts: 0,
            max_in_flight,
            max_idle_plans,
            events: 0,
            in_flight: 0,
            bytes: 0,
        }
    }

    /// Returns the number of events that wait or are in flight.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Returns the memory that these events take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of events in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns whether an outbox row is known, so that its event need not be read again.
    pub(crate) fn knows_row(&self, id: i64) -> bool {
        self.known_rows.contains_key(&id)
    }

    /// Returns the plan of a known outbox row.
    pub(crate) fn plan_of_row(&self, id: i64) -> Option<PlanId> {
        self.known_rows.get(&id).cloned()
    }

    /// Returns the seq up to which all events of a plan are known to be acknowledged.
    pub(crate) fn acknowledged(&self, plan: &PlanId) -> u64 {
        self.plans.get(plan).map_or(0, |window| window.acknowledged)
    }

    /// Returns the lowest known outbox row.
    pub(crate) fn lowest_known_row(&self) -> Option<i64> {
        self.known_rows.keys().min().copied()
    }

    /// Adds an event, unless it is there already or its hint is late. Returns whether it was added.
    pub(crate) fn add(&mut self, plan: &PlanId, seq: u64, row: Row<T>, source: Source) -> bool {
        let window = self.plans.entry(plan.clone()).or_default();
        window.is_used = true;
        if let Some(in_flight) = window.in_flight.get_mut(&seq) {
            // The outbox knows the id of the row, which is needed for its deletion, better than a hint.
            if source == Source::Outbox && in_flight.row.id != row.id {
                self.known_rows.remove(&in_flight.row.id);
                in_flight.row.id = row.id;
                self.known_rows.insert(row.id, plan.clone());
            }
            return false;
        }
        if source == Source::Hint && (window.is_acknowledged(seq) || window.waiting.contains_key(&seq)) {
            return false;
        }
        // The outbox overrides hints, and a row that it still holds has to be sent again.
        window.acknowledged_ahead.remove(&seq);
        if let Some(Waiting { row: replaced, .. }) = window.waiting.remove(&seq) {
            self.events -= 1;
            self.bytes -= replaced.bytes;
            self.known_rows.remove(&replaced.id);
        }
        self.events += 1;
        self.bytes += row.bytes;
        self.known_rows.insert(row.id, plan.clone());
        window.waiting.insert(seq, Waiting { row, first_attempt: None });
        self.requeue(plan);
        // Idle plans that were not used since the last time are forgotten: their acknowledgements only save queries.
        if self.plans.len() > self.max_idle_plans {
            self.plans.retain(|_, window| std::mem::take(&mut window.is_used) || !window.is_idle());
        }
        true
    }

    /// Records that `seq` is the smallest seq of the plan in the outbox: all events before it are acknowledged, and their
    /// rows are deleted.
    pub(crate) fn set_smallest(&mut self, plan: &PlanId, seq: u64) {
        self.plans.entry(plan.clone()).or_default().acknowledge_before(seq);
        self.drop_waiting(plan, seq.saturating_sub(1));
    }

    /// Drops the waiting events of a plan up to a seq, because the outbox has none of them, or because they cannot be sent.
    pub(crate) fn drop_waiting(&mut self, plan: &PlanId, up_to: u64) {
        let Some(window) = self.plans.get_mut(plan) else { return };
        let kept = window.waiting.split_off(&up_to.saturating_add(1));
        for Waiting { row, .. } in std::mem::replace(&mut window.waiting, kept).into_values() {
            self.events -= 1;
            self.bytes -= row.bytes;
            self.known_rows.remove(&row.id);
        }
        self.requeue(plan);
    }

    /// Returns up to `limit` undecided plans, each once until [`Windows::report_undecided_again`].
    pub(crate) fn take_undecided(&mut self, limit: usize) -> Vec<UndecidedPlan> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(plan) = self.undecided.pop_front() else { break };
            let Some(window) = self.plans.get(&plan) else { continue };
            if let (Some(lowest), Some((&highest, _))) = (window.undecided(), window.waiting.last_key_value()) {
                taken.push(UndecidedPlan { plan, lowest, highest, acknowledged: window.acknowledged });
            }
        }
        taken
    }

    /// Returns whether [`Windows::take_undecided`] may return a plan.
    pub(crate) fn has_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// Lets [`Windows::take_undecided`] return every plan that is still undecided once more.
    pub(crate) fn report_undecided_again(&mut self) {
        self.undecided.clear();
        for (plan, window) in &mut self.plans {
            window.is_reported = window.undecided().is_some();
            if window.is_reported {
                self.undecided.push_back(plan.clone());
            }
        }
    }

    /// Returns the next event to send, from one plan after another, and counts it as in flight.
    pub(crate) fn next_to_send(&mut self) -> Option<Attempt<T>> {
        loop {
            let plan = self.ready.pop_front()?;
            let Some(window) = self.plans.get_mut(&plan) else { continue };
            window.is_queued = false;
            let Some(seq) = window.next(self.max_in_flight) else { continue };
            let Some(Waiting { row, first_attempt }) = window.waiting.remove(&seq) else { continue };
            self.attempts += 1;
            self.in_flight += 1;
            let (number, event) = (self.attempts, row.event.clone());
            let first_attempt = first_attempt.unwrap_or(number);
            window.in_flight.insert(seq, InFlight { row, first_attempt, attempt: number });
            self.requeue(&plan);
            return Some(Attempt { plan, seq, number, event });
        }
    }

    /// Records that the stream acknowledged an attempt. Returns the row, to be deleted from the outbox, or `None` if the
    /// acknowledgement is not new, or another event has taken this place since.
    pub(crate) fn on_acknowledged(&mut self, plan: &PlanId, seq: u64, attempt: u64) -> Option<Row<T>> {
        let window = self.plans.get_mut(plan)?;
        let row = if window.in_flight.get(&seq).is_some_and(|in_flight| in_flight.first_attempt <= attempt) {
            self.in_flight -= 1;
            window.in_flight.remove(&seq)?.row
        } else if window.waiting.get(&seq)?.first_attempt.is_some_and(|first_attempt| first_attempt <= attempt) {
            // The attempt or its predecessor had failed, and the acknowledgement arrived after that.
            window.waiting.remove(&seq)?.row
        } else {
            return None;
        };
        self.events -= 1;
        self.bytes -= row.bytes;
        window.acknowledge(seq);
        // Once the known predecessors are acknowledged, the outbox may hold more of them before the waiting events.
        window.is_reported &= !window.in_flight.is_empty();
        self.requeue(plan);
        Some(row)
    }

    /// Records that an attempt failed or that its outcome is unknown: the plan is sent again from this event on. Returns
    /// `false`, and changes nothing, if the attempt had been given up before.
    pub(crate) fn on_failed(&mut self, plan: &PlanId, seq: u64, attempt: u64) -> bool {
        let Some(window) = self.plans.get_mut(plan) else { return false };
        if window.in_flight.get(&seq).is_none_or(|in_flight| in_flight.attempt != attempt) {
            return false;
        }
        let given_up = window.in_flight.split_off(&seq);
        self.in_flight -= given_up.len();
        window.waiting.extend(given_up.into_iter().map(|(seq, InFlight { row, first_attempt, .. })| {
            (seq, Waiting { row, first_attempt: Some(first_attempt) })
        }));
        self.requeue(plan);
        true
    }

    /// Records that the connection was lost: all events in flight are sent again.
    pub(crate) fn on_connection_lost(&mut self) {
        let first_in_flight = |(plan, window): (&PlanId, &PlanWindow<T>)| {
            window.in_flight.first_key_value().map(|(seq, in_flight)| (plan.clone(), *seq, in_flight.attempt))
        };
        let first: Vec<_> = self.plans.iter().filter_map(first_in_flight).collect();
        for (plan, seq, attempt) in first {
            self.on_failed(&plan, seq, attempt);
        }
    }

    /// Records that an outbox row was deleted. If its id appears again, it is another row.
    pub(crate) fn on_row_deleted(&mut self, id: i64) {
        self.known_rows.remove(&id);
    }

    /// Puts a plan into the queue in which it belongs after a change.
    fn requeue(&mut self, plan: &PlanId) {
        let Some(window) = self.plans.get_mut(plan) else { return };
        if window.next(self.max_in_flight).is_some() && !std::mem::replace(&mut window.is_queued, true) {
            self.ready.push_back(plan.clone());
        }
        let is_undecided = window.undecided().is_some();
        if is_undecided && !window.is_reported {
            self.undecided.push_back(plan.clone());
        }
        window.is_reported = is_undecided;
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
