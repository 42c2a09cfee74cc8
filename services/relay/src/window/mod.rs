//! Which event may be sent next: the relay's rules 1 and 2 (PROTOCOL, Relay), without any I/O.
//!
//! For each plan there is what waits to be sent, what was sent on this connection and has neither failed nor been
//! acknowledged, and `acked`: a seq up to which all are known to be acknowledged. A row may be sent when its elder is known
//! to be acknowledged with all before it, or was sent on this connection and has not been seen to fail. Everything that
//! rule 1 names comes down to that:
//! * "its seq is 1": nothing is before it, so `acked` is 0 at least;
//! * "it is its plan's smallest in the whole outbox": rows go after their acknowledgements, so all before it are there;
//! * "this relay knows that it and all before it were acknowledged": it saw the acknowledgements.
//!
//! A plan's rows are sent from its lowest waiting one up, so after a failure at n again from n.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// A plan, as messages name it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanName {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub plan: String,
}

/// A plan's name, shared.
pub(crate) type PlanId = Arc<PlanName>;

/// Whose word it is that an event is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A hint: it may be late, and the event acknowledged long since.
    Hint,
    /// The outbox: the row is there, so the event is owed, whatever is remembered of it.
    Outbox,
}

/// An event that is owed.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    /// Its outbox row.
    pub id: i64,
    /// What it takes of memory.
    pub bytes: usize,
    /// The event.
    pub event: T,
}

/// An event to be sent now.
#[derive(Clone, Debug)]
pub(crate) struct Sending<T> {
    /// Its plan.
    pub plan: PlanId,
    /// Its place in it.
    pub seq: u64,
    /// Names this one attempt.
    pub ticket: u64,
    /// The event.
    pub event: T,
}

struct Waiting<T> {
    row: Row<T>,
    /// The first attempt to send this very event; every later one at its seq is of it too.
    first_ticket: Option<u64>,
}

struct InFlight<T> {
    row: Row<T>,
    first_ticket: u64,
    ticket: u64,
}

struct Plan<T> {
    /// All up to this are acknowledged. Never more than is known.
    acked: u64,
    /// Acknowledged beyond it.
    acked_ahead: BTreeSet<u64>,
    waiting: BTreeMap<u64, Waiting<T>>,
    sent: BTreeMap<u64, InFlight<T>>,
    /// Whether it stands in the queue of those that may send.
    queued: bool,
    /// Whether the outbox has been asked what comes before its lowest waiting row.
    asked: bool,
    /// Whether it was used since memory was last cleared.
    used: bool,
}

impl<T> Default for Plan<T> {
    fn default() -> Self {
        Self {
            acked: 0,
            acked_ahead: BTreeSet::new(),
            waiting: BTreeMap::new(),
            sent: BTreeMap::new(),
            queued: false,
            asked: false,
            used: true,
        }
    }
}

impl<T> Plan<T> {
    fn may_send(&self, seq: u64) -> bool {
        seq <= self.acked + 1 || self.sent.contains_key(&(seq - 1)) || self.acked_ahead.contains(&(seq - 1))
    }

    fn next(&self, window: usize) -> Option<u64> {
        let lowest = *self.waiting.first_key_value()?.0;
        (self.sent.len() < window && self.may_send(lowest)).then_some(lowest)
    }

    /// The lowest waiting row, where it is not known what became of its elder.
    fn undecided(&self) -> Option<u64> {
        let lowest = *self.waiting.first_key_value()?.0;
        (!self.may_send(lowest)).then_some(lowest)
    }

    fn acknowledge(&mut self, seq: u64) {
        if seq > self.acked {
            self.acked_ahead.insert(seq);
        }
        self.close_up();
    }

    fn close_up(&mut self) {
        while self.acked_ahead.remove(&(self.acked + 1)) {
            self.acked += 1;
        }
    }

    /// All before `seq` are acknowledged.
    fn acknowledge_before(&mut self, seq: u64) {
        if seq > self.acked + 1 {
            self.acked = seq - 1;
            self.acked_ahead = self.acked_ahead.split_off(&seq);
            self.close_up();
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }
}

/// The windows of all plans of a partition.
pub(crate) struct Windows<T> {
    plans: HashMap<PlanId, Plan<T>>,
    /// Outbox rows that are known: waiting, sent, or acknowledged and not deleted yet.
    known: HashMap<i64, (PlanId, u64)>,
    /// Plans that may send, each once.
    ready: VecDeque<PlanId>,
    /// Plans whose lowest waiting row is undecided, and that have not been handed out to be asked about.
    undecided: VecDeque<PlanId>,
    tickets: u64,
    window: usize,
    remembered: usize,
    rows: usize,
    sent: usize,
    bytes: usize,
}

impl<T: Clone> Windows<T> {
    /// Windows of `window` events in flight a plan, remembering what was acknowledged of some `remembered` idle plans.
    pub(crate) fn new(window: usize, remembered: usize) -> Self {
        Self {
            plans: HashMap::new(),
            known: HashMap::new(),
            ready: VecDeque::new(),
            undecided: VecDeque::new(),
            tickets: 0,
            window,
            remembered,
            rows: 0,
            sent: 0,
            bytes: 0,
        }
    }

    /// Events that wait or are in flight.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// What they take of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.sent
    }

    /// Whether an outbox row is known, and so need not be read again.
    pub(crate) fn knows(&self, id: i64) -> bool {
        self.known.contains_key(&id)
    }

    /// The plan of a known outbox row.
    pub(crate) fn plan_of(&self, id: i64) -> Option<PlanId> {
        self.known.get(&id).map(|(plan, _)| Arc::clone(plan))
    }

    /// The lowest outbox row that is known.
    pub(crate) fn lowest_known(&self) -> Option<i64> {
        self.known.keys().min().copied()
    }

    /// Takes an event in, unless it is there already, or a hint is late. Says whether it was taken.
    pub(crate) fn offer(&mut self, plan: &PlanId, seq: u64, row: Row<T>, source: Source) -> bool {
        let entry = self.plans.entry(Arc::clone(plan)).or_default();
        entry.used = true;
        if let Some(there) = entry.sent.get_mut(&seq) {
            // In flight: what the outbox says it is called goes for its deletion.
            if source == Source::Outbox && there.row.id != row.id {
                self.known.remove(&there.row.id);
                there.row.id = row.id;
                self.known.insert(row.id, (Arc::clone(plan), seq));
            }
            return false;
        }
        let acknowledged = seq <= entry.acked || entry.acked_ahead.contains(&seq);
        if source == Source::Hint && (acknowledged || entry.waiting.contains_key(&seq)) {
            return false;
        }
        // The outbox has the last word: it replaces what a hint said, and what it still holds is owed once more.
        entry.acked_ahead.remove(&seq);
        self.known.insert(row.id, (Arc::clone(plan), seq));
        self.bytes += row.bytes;
        self.rows += 1;
        let id = row.id;
        if let Some(Waiting { row: replaced, .. }) = entry.waiting.insert(seq, Waiting { row, first_ticket: None }) {
            self.bytes -= replaced.bytes;
            self.rows -= 1;
            if replaced.id != id {
                self.known.remove(&replaced.id);
            }
        }
        self.sort_in(plan);
        self.forget_idle_plans();
        true
    }

    /// The outbox showed `seq` as the plan's smallest: all before it were acknowledged, and rows below it are gone.
    pub(crate) fn smallest(&mut self, plan: &PlanId, seq: u64) {
        let entry = self.plans.entry(Arc::clone(plan)).or_default();
        entry.acknowledge_before(seq);
        let kept = entry.waiting.split_off(&seq);
        let gone = std::mem::replace(&mut entry.waiting, kept);
        self.drop_rows(gone);
        self.sort_in(plan);
    }

    /// Lets go of what waits of a plan up to `seq`: the outbox holds none of it, or it cannot be sent.
    pub(crate) fn drop_waiting(&mut self, plan: &PlanId, up_to: u64) {
        let Some(entry) = self.plans.get_mut(plan) else { return };
        let kept = entry.waiting.split_off(&up_to.saturating_add(1));
        let gone = std::mem::replace(&mut entry.waiting, kept);
        self.drop_rows(gone);
        self.sort_in(plan);
    }

    /// Plans of which the outbox must be asked what comes before their lowest waiting row, with that row's seq and their
    /// highest waiting one. Each is given once until [`Windows::ask_again`].
    pub(crate) fn take_undecided(&mut self, limit: usize) -> Vec<(PlanId, u64, u64)> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(plan) = self.undecided.pop_front() else { break };
            let Some(entry) = self.plans.get(&plan) else { continue };
            if let (Some(lowest), Some((highest, _))) = (entry.undecided(), entry.waiting.last_key_value()) {
                taken.push((plan, lowest, *highest));
            }
        }
        taken
    }

    /// Whether [`Windows::take_undecided`] may have some.
    pub(crate) fn has_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// Lets every plan that is still undecided be asked about once more.
    pub(crate) fn ask_again(&mut self) {
        self.undecided.clear();
        for (plan, entry) in &mut self.plans {
            entry.asked = entry.undecided().is_some();
            if entry.asked {
                self.undecided.push_back(Arc::clone(plan));
            }
        }
    }

    /// The next event to send, plan by plan in turn. It then counts as sent on this connection.
    pub(crate) fn send_next(&mut self) -> Option<Sending<T>> {
        loop {
            let plan = self.ready.pop_front()?;
            let Some(entry) = self.plans.get_mut(&plan) else { continue };
            entry.queued = false;
            let Some(seq) = entry.next(self.window) else { continue };
            let Some(Waiting { row, first_ticket }) = entry.waiting.remove(&seq) else { continue };
            self.tickets += 1;
            let ticket = self.tickets;
            let sending = Sending { plan: Arc::clone(&plan), seq, ticket, event: row.event.clone() };
            entry.sent.insert(seq, InFlight { row, first_ticket: first_ticket.unwrap_or(ticket), ticket });
            self.sent += 1;
            self.sort_in(&plan);
            return Some(sending);
        }
    }

    /// The stream holds what this attempt sent. Gives the row back, to be deleted from the outbox; none where that is known
    /// already, or where another event has taken its place since.
    pub(crate) fn acknowledged(&mut self, plan: &PlanId, seq: u64, ticket: u64) -> Option<Row<T>> {
        let entry = self.plans.get_mut(plan)?;
        let row = if entry.sent.get(&seq).is_some_and(|sent| sent.first_ticket <= ticket) {
            self.sent -= 1;
            entry.sent.remove(&seq).map(|sent| sent.row)
        } else if entry
            .waiting
            .get(&seq)
            .is_some_and(|waiting| waiting.first_ticket.is_some_and(|first| first <= ticket))
        {
            // It failed or its elder did, and then an acknowledgement came all the same.
            entry.waiting.remove(&seq).map(|waiting| waiting.row)
        } else {
            None
        }?;
        self.rows -= 1;
        self.bytes -= row.bytes;
        entry.acknowledge(seq);
        // The elders that were found have gone through; before what waits there may be more.
        entry.asked &= !entry.sent.is_empty();
        self.sort_in(plan);
        Some(row)
    }

    /// The attempt failed, or nobody knows what became of it: the plan is sent again from this event on. An attempt that
    /// has been given up before changes nothing. Says whether it was one that counted.
    pub(crate) fn failed(&mut self, plan: &PlanId, seq: u64, ticket: u64) -> bool {
        let Some(entry) = self.plans.get_mut(plan) else { return false };
        if entry.sent.get(&seq).is_none_or(|sent| sent.ticket != ticket) {
            return false;
        }
        let again = entry.sent.split_off(&seq);
        self.sent -= again.len();
        entry.waiting.extend(
            again.into_iter().map(|(seq, InFlight { row, first_ticket, .. })| {
                (seq, Waiting { row, first_ticket: Some(first_ticket) })
            }),
        );
        self.sort_in(plan);
        true
    }

    /// The connection is another one: whatever was in flight is sent again.
    pub(crate) fn connection_lost(&mut self) {
        let plans: Vec<PlanId> =
            self.plans.iter().filter(|(_, entry)| !entry.sent.is_empty()).map(|(plan, _)| Arc::clone(plan)).collect();
        for plan in plans {
            let first = self
                .plans
                .get(&plan)
                .and_then(|entry| entry.sent.first_key_value().map(|(seq, sent)| (*seq, sent.ticket)));
            if let Some((seq, ticket)) = first {
                self.failed(&plan, seq, ticket);
            }
        }
    }

    /// The outbox row is gone; should it be seen once more, it is another one.
    pub(crate) fn deleted(&mut self, id: i64) {
        self.known.remove(&id);
    }

    fn drop_rows(&mut self, gone: BTreeMap<u64, Waiting<T>>) {
        for Waiting { row, .. } in gone.into_values() {
            self.rows -= 1;
            self.bytes -= row.bytes;
            self.known.remove(&row.id);
        }
    }

    /// Puts a plan into the queue in which it belongs now.
    fn sort_in(&mut self, plan: &PlanId) {
        let Some(entry) = self.plans.get_mut(plan) else { return };
        if entry.next(self.window).is_some() {
            if !entry.queued {
                entry.queued = true;
                self.ready.push_back(Arc::clone(plan));
            }
        } else if entry.undecided().is_some() && !entry.asked {
            entry.asked = true;
            self.undecided.push_back(Arc::clone(plan));
        }
        if entry.undecided().is_none() {
            entry.asked = false;
        }
    }

    /// What is known of idle plans is only ever an economy: of too many, those go that have not been used of late.
    fn forget_idle_plans(&mut self) {
        if self.plans.len() <= self.remembered {
            return;
        }
        self.plans.retain(|_, entry| std::mem::take(&mut entry.used) || !entry.is_idle());
    }
}

#[cfg(test)]
mod tests;
