//! The memory of a worker: for each plan the messages that wait for a task, and those of the task in flight.
//!
//! This is pure bookkeeping, over any type of message. A plan has one task at a time; plans get their tasks in the
//! order in which they became ready. A message leaves memory only when the plan's stored position allows acknowledging it
//! (docs/spec/protocol.md#consume-4), or when it is discarded without an acknowledgement, so that the broker delivers it
//! again.

mod slot;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use sealbus_ledger::delivery::positions::Position;

use self::slot::{Activity, Load, Slot};
use crate::plan::message::QueuedMessage;
use crate::plan::task::{Failure, PlanOutcome, PlanTask};
use crate::plan_name::PlanName;

/// The limit on the bytes in memory of all tenants together, as a multiple of [`Limits::bytes_per_tenant`]. At the limit,
/// no more messages are pulled.
const TENANTS_AT_LIMIT: usize = 4;

/// The limits of a worker's memory and tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most messages of one plan.
    pub messages_per_plan: usize,
    /// The most bytes of one tenant.
    pub bytes_per_tenant: usize,
    /// The most plans whose tasks share a transaction.
    pub plans_per_transaction: usize,
}

/// All plans that a worker has in memory.
pub(crate) struct Slots<M> {
    limits: Limits,
    plans: HashMap<PlanName, Slot<M>>,
    ready: VecDeque<PlanName>,
    bytes: HashMap<Arc<str>, usize>,
    total_bytes: usize,
}

impl<M> Slots<M> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, plans: HashMap::new(), ready: VecDeque::new(), bytes: HashMap::new(), total_bytes: 0 }
    }

    /// Adds a message, and returns the name of its plan. If the plan or tenant is over its limit with this message, the
    /// plan's next task defers the plan.
    pub(crate) fn push(&mut self, queued: QueuedMessage<M>, now: Instant) -> PlanName {
        let name = PlanName::new(&queued.record.header.tenant, &queued.record.header.plan);
        let bytes = queued.bytes();
        let of_tenant = self.bytes.entry(name.tenant.clone()).or_default();
        *of_tenant += bytes;
        self.total_bytes += bytes;
        let tenant_over_limit = *of_tenant > self.limits.bytes_per_tenant;
        let slot = self.plans.entry(name.clone()).or_insert_with(|| Slot::new(now));
        slot.queue.push(queued);
        slot.touched = now;
        if slot.load == Load::Normal && (tenant_over_limit || slot.queue.len() > self.limits.messages_per_plan) {
            slot.load = Load::OverLimit;
        }
        self.make_ready(&name);
        name
    }

    /// Records that replay, or an operator's command, is due for a plan.
    pub(crate) fn replay_is_due(&mut self, name: &PlanName, now: Instant) {
        let slot = self.plans.entry(name.clone()).or_insert_with(|| Slot::new(now));
        // While a replay is in flight, the stored position still has the time at which this replay was due. The plan was
        // found by that time, so nothing new is due.
        if slot.activity != Activity::Busy || !slot.replayed_last {
            (slot.replay, slot.touched) = (true, now);
            self.make_ready(name);
        }
    }

    /// Returns whether more messages may be pulled.
    pub(crate) fn has_room(&self) -> bool {
        self.total_bytes < TENANTS_AT_LIMIT * self.limits.bytes_per_tenant
    }

    /// Begins the next tasks: one task, or, if `together` is true, several that may share a transaction. Returns an empty
    /// list if no plan is ready.
    pub(crate) fn next_tasks(&mut self, together: bool, now: Instant) -> Vec<PlanTask> {
        let mut tasks: Vec<PlanTask> = Vec::new();
        let mut postponed = Vec::new();
        while let Some(name) = self.ready.pop_front() {
            let Some(slot) = self.plans.get_mut(&name) else { continue };
            if slot.not_before.is_some_and(|time| time > now) {
                postponed.push(name);
                continue;
            }
            let alone = !together || slot.must_be_alone();
            if alone && !tasks.is_empty() {
                self.ready.push_front(name);
                break;
            }
            tasks.push(slot.begin(name));
            if alone || tasks.len() == self.limits.plans_per_transaction {
                break;
            }
        }
        self.ready.extend(postponed);
        tasks
    }

    /// Returns when the first of the postponed plans may get its task.
    pub(crate) fn next_postponed(&self) -> Option<Instant> {
        self.ready.iter().filter_map(|name| self.plans.get(name)?.not_before).min()
    }

    /// Ends a plan's task, and returns the messages that may be acknowledged now.
    pub(crate) fn finish(&mut self, name: &PlanName, outcome: PlanOutcome, now: Instant) -> Vec<M> {
        let (position, noted, replay) = match outcome {
            PlanOutcome::Settled(position) => (Some(position), 0, false),
            PlanOutcome::ReplayAgain(position) => (Some(position), 0, true),
            PlanOutcome::Unknown => (None, 0, false),
            PlanOutcome::Noted(seq) => (None, seq, false),
            PlanOutcome::Repeat(failure) => {
                self.repeat(name, failure, None);
                return Vec::new();
            }
        };
        let Some(slot) = self.plans.get_mut(name) else { return Vec::new() };
        (slot.activity, slot.alone, slot.failure, slot.not_before) = (Activity::Idle, false, None, None);
        slot.touched = now;
        slot.replay |= replay;
        let mut acknowledged = Vec::new();
        let mut freed = 0;
        for queued in std::mem::take(&mut slot.in_flight) {
            match &position {
                Some(position) if !queued.is_covered_by(position) => slot.queue.push(queued),
                Some(_) => {
                    freed += queued.bytes();
                    acknowledged.push(queued.message);
                }
                None => {
                    freed += queued.bytes();
                    if queued.seq() <= noted {
                        acknowledged.push(queued.message);
                    }
                }
            }
        }
        slot.position = position;
        slot.update_load(self.limits.messages_per_plan);
        self.free(name, freed);
        self.make_ready(name);
        acknowledged
    }

    /// Ends a plan's task without an effect. The task is repeated at `until` or later, and does not share a transaction
    /// then.
    pub(crate) fn postpone(&mut self, name: &PlanName, until: Instant) {
        self.repeat(name, None, Some(until));
    }

    /// Begins to defer a plan that is over its limit while its task is in flight, and returns the highest seq that
    /// waits.
    ///
    /// Returns `None` for all other plans, and also for this plan until [`Slots::finish_deferring`] is called.
    pub(crate) fn begin_deferring(&mut self, name: &PlanName) -> Option<u64> {
        let is_over_limit = |slot: &&mut Slot<M>| slot.activity == Activity::Busy && slot.load == Load::OverLimit;
        let slot = self.plans.get_mut(name).filter(is_over_limit)?;
        slot.load = Load::Deferring;
        slot.queue.iter().map(QueuedMessage::seq).max()
    }

    /// Ends the deferring of a plan, and returns the messages that may be acknowledged now. `position` is `None` if the
    /// plan could not be deferred.
    pub(crate) fn finish_deferring(&mut self, name: &PlanName, position: Option<&Position>) -> Vec<M> {
        let Some(slot) = self.plans.get_mut(name) else { return Vec::new() };
        slot.load = Load::OverLimit;
        let Some(position) = position else { return Vec::new() };
        // An event below next_seq is a duplicate only if it has the hash of the applied event. The next task compares them.
        let (seen, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut slot.queue).into_iter().partition(|queued| queued.is_seen_by(position));
        slot.queue = waiting;
        slot.update_load(self.limits.messages_per_plan);
        slot.replay = true;
        self.free(name, seen.iter().map(QueuedMessage::bytes).sum());
        self.make_ready(name);
        seen.into_iter().map(|queued| queued.message).collect()
    }

    /// Returns the messages that were received at `time` or earlier and are still in memory.
    pub(crate) fn held_since(&self, time: Instant) -> impl Iterator<Item = &M> {
        let held = self.plans.values().flat_map(|slot| slot.queue.iter().chain(&slot.in_flight));
        held.filter(move |queued| queued.received <= time).map(|queued| &queued.message)
    }

    /// Removes the plans that are idle and were last touched at `since` or earlier.
    pub(crate) fn forget_idle(&mut self, since: Instant) {
        self.plans.retain(|_, slot| slot.activity != Activity::Idle || slot.touched > since);
    }

    fn repeat(&mut self, name: &PlanName, failure: Option<Failure>, not_before: Option<Instant>) {
        let Some(slot) = self.plans.get_mut(name) else { return };
        (slot.activity, slot.alone, slot.position) = (Activity::Idle, true, None);
        (slot.failure, slot.not_before) = (failure, not_before);
        slot.replay |= slot.replayed_last;
        let mut queue = std::mem::take(&mut slot.in_flight);
        queue.append(&mut slot.queue);
        slot.queue = queue;
        self.make_ready(name);
    }

    fn make_ready(&mut self, name: &PlanName) {
        let Some(slot) = self.plans.get_mut(name) else { return };
        if slot.activity == Activity::Idle && (slot.replay || !slot.queue.is_empty()) {
            slot.activity = Activity::Ready;
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

#[cfg(test)]
mod tests;
