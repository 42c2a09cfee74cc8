//! Calls that wait for a batch: fair over tenants, in order within a plan, bounded.
//!
//! Tenants take turns by deficit round-robin (Shreedhar and Varghese, 1995): at each turn a tenant may send a quantum of
//! events, and what a large call lacks is carried over, so that a tenant with large arrays gets no more than one with
//! single events. A plan that is *held* (its calls went alone) keeps its later calls back without holding up anything else.

use std::collections::{HashMap, HashSet, VecDeque};

use sealbus_core::partition::PlanKey;
use tokio::sync::oneshot;

use super::call::{AppendError, Appended, Call};

/// Events that a tenant may send at each turn.
const QUANTUM: usize = 64;

/// A call with the place where its answer goes.
pub(super) struct Waiting {
    pub call: Call,
    pub key: PlanKey,
    /// Batches that found its plan busy.
    pub deferrals: u32,
    pub answer: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
}

impl Waiting {
    fn events(&self) -> usize {
        self.call.events.len()
    }

    /// Answers the caller, who may be gone.
    pub(super) fn answer(self, result: Result<Vec<Appended>, AppendError>) {
        let _ = self.answer.send(result);
    }
}

#[derive(Default)]
struct Lane {
    calls: VecDeque<Waiting>,
    events: usize,
    deficit: usize,
}

/// A batch in the making.
struct Batch {
    calls: Vec<Waiting>,
    plans: HashSet<PlanKey>,
    events_left: usize,
    plans_at_most: usize,
}

impl Batch {
    /// A call larger than a batch goes alone.
    fn has_room(&self, waiting: &Waiting) -> bool {
        self.calls.is_empty()
            || (waiting.events() <= self.events_left
                && (self.plans.len() < self.plans_at_most || self.plans.contains(&waiting.key)))
    }

    fn push(&mut self, waiting: Waiting) {
        self.events_left = self.events_left.saturating_sub(waiting.events());
        self.plans.insert(waiting.key);
        self.calls.push(waiting);
    }
}

/// The calls of one batcher.
pub(super) struct Queue {
    lanes: HashMap<String, Lane>,
    /// Tenants with calls, in the order of their turns.
    turns: VecDeque<String>,
    held: HashSet<PlanKey>,
    /// Events of one tenant that may wait.
    bound: usize,
}

impl Queue {
    pub(super) fn new(bound: usize) -> Self {
        Self { lanes: HashMap::new(), turns: VecDeque::new(), held: HashSet::new(), bound }
    }

    /// Takes a call in, or gives it back where its tenant has too much waiting. A lone call is always let in.
    pub(super) fn push(&mut self, waiting: Waiting) -> Result<(), Waiting> {
        let tenant = waiting.call.tenant.as_str();
        if let Some(lane) = self.lanes.get(tenant)
            && lane.events > 0
            && lane.events + waiting.events() > self.bound
        {
            return Err(waiting);
        }
        self.lane(tenant.to_owned()).push(waiting, Lane::back);
        Ok(())
    }

    /// Puts calls whose plans were busy back to the front, in their order.
    pub(super) fn put_back(&mut self, calls: Vec<Waiting>) {
        for waiting in calls.into_iter().rev() {
            let tenant = waiting.call.tenant.as_str().to_owned();
            self.lane(tenant).push(waiting, Lane::front);
        }
    }

    /// Keeps a plan's calls back until it is released.
    pub(super) fn hold(&mut self, key: PlanKey) {
        self.held.insert(key);
    }

    /// Lets a held plan's calls go again.
    pub(super) fn release(&mut self, key: PlanKey) {
        self.held.remove(&key);
    }

    /// The next batch: calls of at most `events` events for at most `plans` plans, or one larger call. Empty where all that
    /// waits is held.
    pub(super) fn take(&mut self, events: usize, plans: usize) -> Vec<Waiting> {
        let mut batch = Batch { calls: Vec::new(), plans: HashSet::new(), events_left: events, plans_at_most: plans };
        let mut idle = 0;
        while batch.events_left > 0 && idle < self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&tenant) else { continue };
            lane.deficit += QUANTUM;
            let taken = lane.fill(&mut batch, &self.held);
            if lane.calls.is_empty() {
                self.lanes.remove(&tenant);
            } else if !taken && !batch.calls.is_empty() && lane.wants_room(&self.held) {
                // It has waited its turn and lacks only room: it begins the next batch, or smaller calls would pass it for ever.
                self.turns.push_front(tenant);
                break;
            } else {
                // A lane that could send nothing for want of deficit, not of room, is worth another turn.
                idle = if taken || lane.wants_turn(&self.held) { 0 } else { idle + 1 };
                self.turns.push_back(tenant);
            }
        }
        batch.calls
    }

    fn lane(&mut self, tenant: String) -> &mut Lane {
        if !self.lanes.contains_key(&tenant) {
            self.turns.push_back(tenant.clone());
        }
        self.lanes.entry(tenant).or_default()
    }
}

impl Lane {
    fn push(&mut self, waiting: Waiting, end: fn(&mut VecDeque<Waiting>, Waiting)) {
        self.events += waiting.events();
        end(&mut self.calls, waiting);
    }

    fn back(calls: &mut VecDeque<Waiting>, waiting: Waiting) {
        calls.push_back(waiting);
    }

    fn front(calls: &mut VecDeque<Waiting>, waiting: Waiting) {
        calls.push_front(waiting);
    }

    /// Moves what fits into the batch; whether anything did.
    fn fill(&mut self, batch: &mut Batch, held: &HashSet<PlanKey>) -> bool {
        let before = batch.calls.len();
        let mut kept = VecDeque::new();
        while let Some(waiting) = self.calls.pop_front() {
            if held.contains(&waiting.key) {
                kept.push_back(waiting);
                continue;
            }
            let events = waiting.events();
            if events > self.deficit || !batch.has_room(&waiting) {
                self.calls.push_front(waiting);
                break;
            }
            self.deficit -= events;
            self.events -= events;
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

    /// Whether the first call that may go waits only for its deficit to grow.
    fn wants_turn(&self, held: &HashSet<PlanKey>) -> bool {
        self.first_free(held).is_some_and(|waiting| waiting.events() > self.deficit)
    }

    /// Whether the first call that may go waits only for room in a batch.
    fn wants_room(&self, held: &HashSet<PlanKey>) -> bool {
        self.first_free(held).is_some_and(|waiting| waiting.events() <= self.deficit)
    }

    fn first_free(&self, held: &HashSet<PlanKey>) -> Option<&Waiting> {
        self.calls.iter().find(|waiting| !held.contains(&waiting.key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealbus_core::event::PayloadMode;
    use sealbus_core::hash::Hash;
    use sealbus_core::names::{Plan, Tenant};
    use uuid::Uuid;

    use super::super::call::{Draft, Expect};
    use super::*;

    fn waiting(tenant: &str, plan: &str, events: usize) -> Waiting {
        let draft = Draft {
            event_id: Uuid::nil(),
            event_type: "t".into(),
            data_version: 1,
            occurred: None,
            source: String::new(),
            actor: String::new(),
            correlation_id: String::new(),
            causation_id: String::new(),
            payload_mode: PayloadMode::Plain,
            payload: None,
            payload_size: 0,
            payload_hash: Hash([0; 32]),
            metadata: "{}".into(),
            request: String::new(),
            encrypted: None,
        };
        let call = Call {
            tenant: Tenant::parse(tenant).unwrap(),
            plan: Plan::parse(plan).unwrap(),
            expect: Expect::Any,
            events: vec![draft; events],
        };
        Waiting { key: PlanKey::of(tenant, plan), call, deferrals: 0, answer: oneshot::channel().0 }
    }

    fn names(batch: &[Waiting]) -> Vec<(String, String)> {
        batch.iter().map(|waiting| (waiting.call.tenant.to_string(), waiting.call.plan.to_string())).collect()
    }

    #[test]
    fn a_tenant_with_a_flood_does_not_keep_another_waiting() {
        let mut queue = Queue::new(10_000);
        for at in 0..1_000 {
            assert!(queue.push(waiting("flood", &format!("p{at}"), 1)).is_ok());
        }
        assert!(queue.push(waiting("small", "p", 1)).is_ok());
        let batch = names(&queue.take(100, 100));
        assert!(batch.contains(&("small".into(), "p".into())), "the second tenant is in the first batch");
        assert_eq!(batch.len(), 100);
    }

    #[test]
    fn a_call_larger_than_a_batch_goes_alone() {
        let mut queue = Queue::new(10_000);
        assert!(queue.push(waiting("a", "large", 1_000)).is_ok());
        assert!(queue.push(waiting("a", "next", 1)).is_ok());
        assert_eq!(names(&queue.take(100, 100)), [("a".into(), "large".into())]);
        assert_eq!(names(&queue.take(100, 100)), [("a".into(), "next".into())]);
    }

    /// Two tenants that send single events without end, and between them one with an array: it has its turn.
    #[test]
    fn a_large_array_is_not_passed_for_ever() {
        let mut queue = Queue::new(usize::MAX);
        let refill = |queue: &mut Queue, tenant| {
            (0..600).for_each(|at| assert!(queue.push(waiting(tenant, &format!("p{at}"), 1)).is_ok()));
        };
        refill(&mut queue, "a");
        assert!(queue.push(waiting("b", "array", 1_000)).is_ok());
        refill(&mut queue, "c");
        let gone = (0..20).any(|_| {
            let batch = names(&queue.take(500, 1_000));
            refill(&mut queue, "a");
            refill(&mut queue, "c");
            batch.contains(&("b".into(), "array".into()))
        });
        assert!(gone, "the array waited for twenty batches");
    }

    #[test]
    fn a_tenant_beyond_its_bound_is_refused_and_another_is_not() {
        let mut queue = Queue::new(10);
        assert!(queue.push(waiting("a", "p", 10)).is_ok());
        assert!(queue.push(waiting("a", "p", 1)).is_err());
        assert!(queue.push(waiting("b", "p", 1_000)).is_ok(), "a lone call is let in, whatever its size");
    }

    #[test]
    fn a_held_plan_holds_up_nothing_else() {
        let mut queue = Queue::new(10_000);
        queue.hold(PlanKey::of("a", "busy"));
        for plan in ["busy", "free", "busy", "free"] {
            assert!(queue.push(waiting("a", plan, 1)).is_ok());
        }
        assert_eq!(names(&queue.take(100, 100)), [("a".into(), "free".into()), ("a".into(), "free".into())]);
        assert!(queue.take(100, 100).is_empty());
        queue.release(PlanKey::of("a", "busy"));
        assert_eq!(queue.take(100, 100).len(), 2);
    }

    proptest! {
        /// Whatever comes, in whatever sizes, with calls put back at random: nothing is lost or doubled, each plan's calls
        /// leave in their order, and no batch is larger than asked unless it is one call.
        #[test]
        fn every_call_leaves_once_and_in_its_plans_order(
            calls in prop::collection::vec((0_usize..3, 0_usize..4, 1_usize..90), 1..80),
            put_back in prop::collection::vec(any::<bool>(), 200),
            room in 1_usize..120,
        ) {
            let mut queue = Queue::new(usize::MAX);
            let mut sent: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
            for (at, (tenant, plan, events)) in calls.iter().enumerate() {
                let mut call = waiting(&format!("t{tenant}"), &format!("p{plan}"), *events);
                // The actor names the call.
                call.call.events[0].actor = at.to_string();
                prop_assert!(queue.push(call).is_ok());
                sent.entry((*tenant, *plan)).or_default().push(at);
            }
            let mut left: HashMap<(String, String), Vec<usize>> = HashMap::new();
            let mut again = put_back.into_iter();
            loop {
                let batch = queue.take(room, 3);
                if batch.is_empty() {
                    break;
                }
                let events: usize = batch.iter().map(Waiting::events).sum();
                prop_assert!(events <= room || batch.len() == 1);
                prop_assert!(batch.iter().map(|waiting| waiting.key).collect::<HashSet<_>>().len() <= 3);
                // As after a batch that found some plans busy: all calls of such a plan go back.
                let busy: HashSet<PlanKey> = batch.iter().map(|waiting| waiting.key).filter(|_| again.next().unwrap_or(false)).collect();
                let (back, done): (Vec<_>, Vec<_>) = batch.into_iter().partition(|waiting| busy.contains(&waiting.key));
                queue.put_back(back);
                for waiting in done {
                    let plan = (waiting.call.tenant.to_string(), waiting.call.plan.to_string());
                    left.entry(plan).or_default().push(waiting.call.events[0].actor.parse().unwrap());
                }
            }
            for ((tenant, plan), order) in sent {
                prop_assert_eq!(left.get(&(format!("t{tenant}"), format!("p{plan}"))), Some(&order));
            }
        }
    }
}
