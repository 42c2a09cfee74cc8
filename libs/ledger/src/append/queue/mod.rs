//! The queue of calls that wait for a batch: fair between tenants, and in order within a plan. Calls whose callers have gone are
//! dropped. The queue has no bound of its own: its callers bound the memory that their calls hold.
//!
//! Tenants are served by deficit round-robin (Shreedhar and Varghese, 1995). In each turn a tenant may send a quantum of
//! events, of which a large one counts as several ([`Call::cost`]). What a turn leaves unused while a larger call waits is
//! carried over, so that a tenant with large calls gets no more than one with single events. The later calls of a plan that
//! is *held*, because its first calls went alone, are kept in the queue without delaying any other plan.

use std::collections::{HashMap, HashSet, VecDeque};

use sealbus_core::partition::PlanKey;
use tokio::sync::oneshot;

use super::call::{AppendError, Appended, Call};

/// What a tenant may send in each turn, as [`Call::cost`].
const QUANTUM: usize = 64;

/// A queued call, and the channel for its answer.
pub(super) struct Waiting {
    pub call: Call,
    /// [`Call::cost`], which is not added up again each time that the call is looked at.
    pub cost: usize,
    pub key: PlanKey,
    /// The number of batches that found its plan busy.
    pub deferrals: u32,
    pub answer: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
    /// What is dropped together with the call: memory of the caller, and its events in the gauge of waiting ones.
    pub _held: Box<dyn Send + Sync>,
}

impl Waiting {
    /// Returns whether the caller no longer waits for the answer.
    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// Answers the caller, unless it no longer waits.
    pub(super) fn answer(self, result: Result<Vec<Appended>, AppendError>) {
        let _ = self.answer.send(result);
    }
}

/// The calls of one tenant.
#[derive(Default)]
struct TenantQueue {
    calls: VecDeque<Waiting>,
    deficit: usize,
    /// The number of callers that have gone since abandoned calls were removed. Their calls may have left the queue meanwhile.
    gone: usize,
}

/// A batch that is being filled.
struct Batch {
    calls: Vec<Waiting>,
    plans: HashSet<PlanKey>,
    cost_left: usize,
    max_plans: usize,
}

impl Batch {
    /// Returns whether the call fits. Any call fits into an empty batch, so that one larger than a batch goes alone.
    fn has_room(&self, waiting: &Waiting) -> bool {
        self.calls.is_empty()
            || (waiting.cost <= self.cost_left
                && (self.plans.len() < self.max_plans || self.plans.contains(&waiting.key)))
    }

    fn push(&mut self, waiting: Waiting) {
        self.cost_left = self.cost_left.saturating_sub(waiting.cost);
        self.plans.insert(waiting.key);
        self.calls.push(waiting);
    }
}

/// The queued calls of one batcher.
#[derive(Default)]
pub(super) struct Queue {
    tenants: HashMap<String, TenantQueue>,
    /// The tenants with calls, in the order of their turns.
    turns: VecDeque<String>,
    /// The plans whose calls are kept in the queue.
    pub held: HashSet<PlanKey>,
}

impl Queue {
    /// Queues a call.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.of_tenant(&waiting).calls.push_back(waiting);
    }

    /// Puts calls whose plans were busy back to the front, in their order.
    pub(super) fn put_back(&mut self, calls: Vec<Waiting>) {
        for waiting in calls.into_iter().rev() {
            self.of_tenant(&waiting).calls.push_front(waiting);
        }
    }

    /// Notes that a caller of this tenant has gone. Removes the tenant's abandoned calls once they may be half of its calls, so that
    /// they hold little memory and removing them costs little.
    pub(super) fn caller_gone(&mut self, tenant: &str) {
        let Some(queue) = self.tenants.get_mut(tenant) else { return };
        queue.gone += 1;
        if 2 * queue.gone >= queue.calls.len() {
            queue.remove_abandoned();
        }
    }

    /// Takes the next batch: calls that cost at most `cost` for at most `plans` plans together, or one larger call. It is
    /// empty if all queued calls belong to held plans. Abandoned calls are dropped.
    pub(super) fn take(&mut self, cost: usize, plans: usize) -> Vec<Waiting> {
        let mut batch = Batch { calls: Vec::new(), plans: HashSet::new(), cost_left: cost, max_plans: plans };
        let mut idle = 0;
        while batch.cost_left > 0 && idle < self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else { break };
            let Some(queue) = self.tenants.get_mut(&tenant) else { continue };
            queue.deficit += QUANTUM;
            let taken = queue.fill(&mut batch, &self.held);
            let lacks_deficit = queue.first_free(&self.held).map(|waiting| waiting.cost > queue.deficit);
            if queue.calls.is_empty() {
                self.tenants.remove(&tenant);
            } else if !taken && !batch.calls.is_empty() && lacks_deficit == Some(false) {
                // The call has the deficit and lacks only room. It begins the next batch, so that smaller calls of other tenants
                // cannot pass it again and again.
                self.turns.push_front(tenant);
                break;
            } else {
                // A tenant that lacked deficit, not room, may send something in another turn.
                idle = if taken || lacks_deficit == Some(true) { 0 } else { idle + 1 };
                self.turns.push_back(tenant);
            }
        }
        batch.calls
    }

    /// Returns the queue of the call's tenant. A new one gets its turn after all others.
    fn of_tenant(&mut self, waiting: &Waiting) -> &mut TenantQueue {
        self.tenants.entry(waiting.call.tenant.to_string()).or_insert_with_key(|tenant| {
            self.turns.push_back(tenant.clone());
            TenantQueue::default()
        })
    }
}

impl TenantQueue {
    /// Moves the calls that fit into the batch. Returns whether there were any.
    fn fill(&mut self, batch: &mut Batch, held: &HashSet<PlanKey>) -> bool {
        let before = batch.calls.len();
        let mut kept = VecDeque::new();
        while let Some(waiting) = self.calls.pop_front() {
            if waiting.is_abandoned() {
                continue;
            }
            if held.contains(&waiting.key) {
                kept.push_back(waiting);
                continue;
            }
            if waiting.cost > self.deficit || !batch.has_room(&waiting) {
                self.calls.push_front(waiting);
                break;
            }
            self.deficit -= waiting.cost;
            batch.push(waiting);
        }
        while let Some(waiting) = kept.pop_back() {
            self.calls.push_front(waiting);
        }
        if self.calls.iter().all(|waiting| held.contains(&waiting.key)) {
            self.deficit = 0;
        }
        batch.calls.len() > before
    }

    fn remove_abandoned(&mut self) {
        self.gone = 0;
        self.calls.retain(|waiting| !waiting.is_abandoned());
    }

    /// Returns the first call of a plan that is not held.
    fn first_free(&self, held: &HashSet<PlanKey>) -> Option<&Waiting> {
        self.calls.iter().find(|waiting| !held.contains(&waiting.key))
    }
}

#[cfg(test)]
mod tests;
