//! What a holder has in memory: for each plan the messages that wait for its actor, and those that the actor has in hand.
//!
//! Pure bookkeeping, over any kind of message. A plan's errands are given out one at a time, plans in the order in which
//! they became ready, arrivals and replay in turn. A message leaves only when it may be acknowledged by the plan's durable
//! standing (PROTOCOL, Consume, rule 4), or is let go of unacknowledged, to be delivered again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use sealbus_core::event::Record;
use sealbus_ledger::delivery::positions::{Standing, State};

use crate::assignment::PlanName;
use crate::plan::actor::{Errand, Outcome, Work};
use crate::plan::gather::Arrived;
use crate::plan::trying::Failure;

/// Bounds of what is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Messages for one plan.
    pub per_plan: usize,
    /// Bytes for one tenant.
    pub bytes_per_tenant: usize,
    /// Plans in one errand of several.
    pub plans_together: usize,
    /// From this delivery on a message counts as worn.
    pub worn_delivery: u64,
}

/// A message that waits, with the event that it brought.
pub(crate) struct Waiting<M> {
    pub message: M,
    pub record: Arc<Record>,
    pub deliveries: u64,
    /// When it came in.
    pub since: Instant,
}

impl<M> Waiting<M> {
    fn bytes(&self) -> usize {
        512 + self.record.payload.as_ref().map_or(0, String::len) + self.record.metadata.len()
    }

    fn seq(&self) -> u64 {
        self.record.header.seq
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing is to be done.
    Idle,
    /// The plan waits for its turn.
    Ready,
    /// Its actor has an errand in hand.
    Busy,
}

/// Whether more waits for a plan than memory is meant to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crowd {
    Bearable,
    TooMuch,
    /// Its busy actor is being relieved of it.
    Relieving,
}

struct Slot<M> {
    queue: Vec<Waiting<M>>,
    in_hand: Vec<Waiting<M>>,
    standing: Option<Standing>,
    turn: Turn,
    crowd: Crowd,
    replay: bool,
    replayed_last: bool,
    /// To be attended alone: something of it failed, or may kill its handler.
    alone: bool,
    met: Option<Failure>,
    not_before: Option<Instant>,
    touched: Instant,
}

/// All plans that a holder has in memory.
pub(crate) struct Slots<M> {
    bounds: Bounds,
    plans: HashMap<PlanName, Slot<M>>,
    ready: VecDeque<PlanName>,
    bytes: HashMap<Arc<str>, usize>,
    total_bytes: usize,
}

impl<M> Slots<M> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, plans: HashMap::new(), ready: VecDeque::new(), bytes: HashMap::new(), total_bytes: 0 }
    }

    /// Takes in a message. With more than memory is meant to hold, its plan is left behind next.
    pub(crate) fn push(&mut self, waiting: Waiting<M>, now: Instant) {
        let name = PlanName::new(&waiting.record.header.tenant, &waiting.record.header.plan);
        let bytes = waiting.bytes();
        let of_tenant = self.bytes.entry(name.tenant.clone()).or_default();
        *of_tenant += bytes;
        self.total_bytes += bytes;
        let too_much = *of_tenant > self.bounds.bytes_per_tenant;
        let slot = self.plans.entry(name.clone()).or_insert_with(|| Slot::new(now));
        slot.queue.push(waiting);
        slot.touched = now;
        if slot.crowd == Crowd::Bearable && (too_much || slot.queue.len() > self.bounds.per_plan) {
            slot.crowd = Crowd::TooMuch;
        }
        self.make_ready(&name);
    }

    /// Notes that replay, or an operator's ask, is due for a plan.
    pub(crate) fn replay_is_due(&mut self, name: &PlanName, now: Instant) {
        let slot = self.plans.entry(name.clone()).or_insert_with(|| Slot::new(now));
        // One that is being replayed is due again only after its pause, which it has not been given yet.
        if slot.turn != Turn::Busy || !slot.replayed_last {
            (slot.replay, slot.touched) = (true, now);
            self.make_ready(name);
        }
    }

    /// Whether more may be pulled.
    pub(crate) fn has_room(&self) -> bool {
        self.total_bytes < 4 * self.bounds.bytes_per_tenant
    }

    /// The next errands: one, or where `together` says so several that may share a transaction. None when no plan is ready.
    pub(crate) fn take(&mut self, together: bool, now: Instant) -> Vec<Errand> {
        let mut errands: Vec<Errand> = Vec::new();
        let mut put_back = Vec::new();
        while let Some(name) = self.ready.pop_front() {
            let Some(slot) = self.plans.get_mut(&name) else { continue };
            if slot.not_before.is_some_and(|at| at > now) {
                put_back.push(name);
                continue;
            }
            let alone = !together || slot.must_be_alone(self.bounds.worn_delivery);
            if alone && !errands.is_empty() {
                self.ready.push_front(name);
                break;
            }
            errands.push(slot.begin(name, self.bounds.worn_delivery));
            if alone || errands.len() == self.bounds.plans_together {
                break;
            }
        }
        self.ready.extend(put_back);
        errands
    }

    /// When the first of the plans that were put off is due again.
    pub(crate) fn first_put_off(&self) -> Option<Instant> {
        self.ready.iter().filter_map(|name| self.plans.get(name)?.not_before).min()
    }

    /// An errand is done. Gives the messages that may be acknowledged now. Where the plan stands nowhere, its messages are
    /// let go of unacknowledged.
    pub(crate) fn done(&mut self, name: &PlanName, outcome: Outcome, now: Instant) -> Vec<M> {
        let Some(slot) = self.plans.get_mut(name) else { return Vec::new() };
        (slot.turn, slot.alone, slot.met, slot.not_before, slot.touched) = (Turn::Idle, false, None, None, now);
        slot.replay |= outcome.again;
        let in_hand = std::mem::take(&mut slot.in_hand);
        let mut acknowledged = Vec::new();
        let mut freed = 0;
        for waiting in in_hand {
            match &outcome.standing {
                Some(standing) if !may_acknowledge(standing, waiting.seq()) => slot.queue.push(waiting),
                Some(_) => {
                    freed += waiting.bytes();
                    acknowledged.push(waiting.message);
                }
                None => freed += waiting.bytes(),
            }
        }
        slot.standing = outcome.standing;
        slot.weigh(self.bounds.per_plan);
        self.free(name, freed);
        self.make_ready(name);
        acknowledged
    }

    /// An errand came to nothing, and is tried again, alone: at once, or not before a time.
    pub(crate) fn put_off(&mut self, name: &PlanName, met: Option<Failure>, not_before: Option<Instant>) {
        let Some(slot) = self.plans.get_mut(name) else { return };
        (slot.turn, slot.alone, slot.standing) = (Turn::Idle, true, None);
        (slot.met, slot.not_before) = (met, not_before);
        slot.replay |= slot.replayed_last;
        let mut in_hand = std::mem::take(&mut slot.in_hand);
        in_hand.append(&mut slot.queue);
        slot.queue = in_hand;
        self.make_ready(name);
    }

    /// A plan whose actor is busy while more waits for it than memory is meant to hold: the highest seq that waits. Asked
    /// once, until [`Slots::overflowed`] has answered.
    pub(crate) fn overflowing(&mut self, name: &PlanName) -> Option<u64> {
        let slot = self.plans.get_mut(name).filter(|slot| slot.turn == Turn::Busy && slot.crowd == Crowd::TooMuch)?;
        slot.crowd = Crowd::Relieving;
        slot.queue.iter().map(Waiting::seq).max()
    }

    /// A busy plan was left behind, as this standing says, or was not. Gives the messages of its queue that may be
    /// acknowledged by that.
    pub(crate) fn overflowed(&mut self, name: &PlanName, standing: Option<&Standing>) -> Vec<M> {
        let Some(slot) = self.plans.get_mut(name) else { return Vec::new() };
        slot.crowd = Crowd::TooMuch;
        let Some(standing) = standing else { return Vec::new() };
        // An event below next_seq is a duplicate only if its hash says so: the actor compares it.
        let owed = |waiting: &Waiting<M>| {
            standing.state != State::Live && (standing.next_seq..=standing.seen_seq).contains(&waiting.seq())
        };
        let (owed, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut slot.queue).into_iter().partition(owed);
        slot.queue = kept;
        slot.weigh(self.bounds.per_plan);
        slot.replay = true;
        self.free(name, owed.iter().map(Waiting::bytes).sum());
        self.make_ready(name);
        owed.into_iter().map(|waiting| waiting.message).collect()
    }

    /// Messages that came in before a time and are still held.
    pub(crate) fn held_since(&self, before: Instant) -> impl Iterator<Item = &M> {
        let held = self.plans.values().flat_map(|slot| slot.queue.iter().chain(&slot.in_hand));
        held.filter(move |waiting| waiting.since <= before).map(|waiting| &waiting.message)
    }

    /// Forgets plans that nothing has happened to since a time.
    pub(crate) fn forget_idle(&mut self, since: Instant) {
        self.plans.retain(|_, slot| slot.turn != Turn::Idle || slot.touched > since);
    }

    fn make_ready(&mut self, name: &PlanName) {
        let Some(slot) = self.plans.get_mut(name) else { return };
        if slot.turn == Turn::Idle && (slot.replay || !slot.queue.is_empty()) {
            slot.turn = Turn::Ready;
            self.ready.push_back(name.clone());
        }
    }

    fn free(&mut self, name: &PlanName, bytes: usize) {
        self.total_bytes -= bytes;
        if let Some(of_tenant) = self.bytes.get_mut(&name.tenant) {
            *of_tenant -= bytes;
            if *of_tenant == 0 {
                self.bytes.remove(&name.tenant);
            }
        }
    }
}

impl<M> Slot<M> {
    fn new(now: Instant) -> Self {
        Self {
            queue: Vec::new(),
            in_hand: Vec::new(),
            standing: None,
            turn: Turn::Idle,
            crowd: Crowd::Bearable,
            replay: false,
            replayed_last: false,
            alone: false,
            met: None,
            not_before: None,
            touched: now,
        }
    }

    /// What waits is all that counts once an errand is done; one that is being relieved is weighed after that.
    fn weigh(&mut self, per_plan: usize) {
        if self.crowd != Crowd::Relieving {
            self.crowd = if self.queue.len() > per_plan { Crowd::TooMuch } else { Crowd::Bearable };
        }
    }

    fn must_be_alone(&self, worn_delivery: u64) -> bool {
        // A message that came before may have killed its handler: what it shares a transaction with would die with it.
        self.alone
            || self.replay
            || self.crowd != Crowd::Bearable
            || worn_delivery > 1 && self.queue.iter().any(|waiting| waiting.deliveries > 1)
    }

    fn begin(&mut self, plan: PlanName, worn_delivery: u64) -> Errand {
        self.turn = Turn::Busy;
        let standing = self.standing.clone();
        if self.replay && (self.queue.is_empty() || !self.replayed_last) {
            (self.replay, self.replayed_last) = (false, true);
            return Errand { plan, standing: None, work: Work::Replay };
        }
        self.replayed_last = false;
        self.in_hand = std::mem::take(&mut self.queue);
        let arrived = self
            .in_hand
            .iter()
            .map(|waiting| Arrived { record: waiting.record.clone(), worn: waiting.deliveries >= worn_delivery })
            .collect();
        let (crowded, met) = (self.crowd != Crowd::Bearable, self.met.take());
        Errand { plan, standing, work: Work::Arrived { arrived, crowded, met } }
    }
}

/// Whether a message is covered by what is durable: applied, or owed by a position that is not live.
fn may_acknowledge(standing: &Standing, seq: u64) -> bool {
    seq < standing.next_seq || standing.state != State::Live && seq <= standing.seen_seq
}

#[cfg(test)]
mod tests;
