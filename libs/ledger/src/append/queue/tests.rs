use proptest::prelude::*;
use sealbus_core::event::PayloadMode;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Tenant};
use uuid::Uuid;

use super::*;
use crate::append::call::{Draft, Expect};

fn waiting(tenant: &str, plan: &str, events: usize) -> Waiting {
    waiting_with_payload(tenant, plan, events, None)
}

fn waiting_with_payload(tenant: &str, plan: &str, events: usize, payload: Option<String>) -> Waiting {
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
        payload,
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
    let (answer, answered) = oneshot::channel();
    // The caller waits until the test ends.
    std::mem::forget(answered);
    Waiting { key: PlanKey::of(tenant, plan), cost: call.cost(), call, deferrals: 0, answer, _held: Box::new(()) }
}

/// Returns a call whose caller has gone.
fn abandoned(tenant: &str, plan: &str, events: usize) -> Waiting {
    Waiting { answer: oneshot::channel().0, ..waiting(tenant, plan, events) }
}

fn names(batch: &[Waiting]) -> Vec<(String, String)> {
    batch.iter().map(|waiting| (waiting.call.tenant.to_string(), waiting.call.plan.to_string())).collect()
}

#[test]
fn a_tenant_with_a_flood_does_not_keep_another_waiting() {
    let mut queue = Queue::default();
    for at in 0..1_000 {
        queue.push(waiting("flood", &format!("p{at}"), 1));
    }
    queue.push(waiting("small", "p", 1));
    let batch = names(&queue.take(100, 100));
    assert!(batch.contains(&("small".into(), "p".into())), "the call of the second tenant is not in the first batch");
    assert_eq!(batch.len(), 100);
}

#[test]
fn a_call_larger_than_a_batch_goes_alone() {
    let mut queue = Queue::default();
    queue.push(waiting("a", "large", 1_000));
    queue.push(waiting("a", "next", 1));
    assert_eq!(names(&queue.take(100, 100)), [("a".into(), "large".into())]);
    assert_eq!(names(&queue.take(100, 100)), [("a".into(), "next".into())]);
}

#[test]
fn an_event_costs_one_and_from_two_kib_on_its_size() {
    // The metadata, `{}`, count too.
    let cost = |bytes: usize| waiting_with_payload("a", "p", 3, Some("x".repeat(bytes - 2))).cost;
    assert_eq!([2, 2_047, 2_048, 200 << 10].map(cost), [3, 3, 6, 600]);
}

/// Large events count as several, so that neither the share of a tenant nor a batch is larger than with small events.
#[test]
fn a_tenant_with_large_events_gets_no_larger_share() {
    let mut queue = Queue::default();
    for at in 0..100 {
        let large = waiting_with_payload("large", &format!("p{at}"), 1, Some("x".repeat(200_000)));
        assert_eq!(large.cost, 195);
        queue.push(large);
    }
    (0..100).for_each(|at| queue.push(waiting("small", &format!("p{at}"), 1)));
    let batch = names(&queue.take(300, 200));
    assert_eq!(batch.iter().filter(|(tenant, _)| tenant == "small").count(), 100);
    assert_eq!(batch.iter().filter(|(tenant, _)| tenant == "large").count(), 1);
}

/// A call of 1,000 events is taken although two other tenants keep the queue full of single events.
#[test]
fn a_large_array_is_not_passed_for_ever() {
    let mut queue = Queue::default();
    let refill = |queue: &mut Queue, tenant| {
        (0..600).for_each(|at| queue.push(waiting(tenant, &format!("p{at}"), 1)));
    };
    refill(&mut queue, "a");
    queue.push(waiting("b", "array", 1_000));
    refill(&mut queue, "c");
    let gone = (0..20).any(|_| {
        let batch = names(&queue.take(500, 1_000));
        refill(&mut queue, "a");
        refill(&mut queue, "c");
        batch.contains(&("b".into(), "array".into()))
    });
    assert!(gone, "the large call was in none of twenty batches");
}

#[test]
fn an_abandoned_call_is_not_taken_and_takes_no_room() {
    let mut queue = Queue::default();
    queue.push(abandoned("a", "p", 100));
    queue.push(waiting("a", "q", 100));
    assert_eq!(names(&queue.take(100, 100)), [("a".into(), "q".into())]);
    assert!(queue.take(100, 100).is_empty() && queue.tenants.is_empty() && queue.turns.is_empty());
}

#[test]
fn abandoned_calls_are_removed_when_they_are_half_of_a_tenants_calls() {
    let mut queue = Queue::default();
    let held = std::sync::Arc::new(());
    let holding = |call: Waiting| Waiting { _held: Box::new(held.clone()), ..call };
    for n in 0..100 {
        let call = if n % 2 == 0 { abandoned("a", "p", 1) } else { waiting("a", "p", 1) };
        queue.push(holding(call));
    }
    (0..49).for_each(|_| queue.caller_gone("a"));
    assert_eq!(std::sync::Arc::strong_count(&held), 101);
    queue.caller_gone("a");
    assert_eq!(std::sync::Arc::strong_count(&held), 51, "the memory of abandoned calls is kept");
    queue.caller_gone("another tenant");
    assert_eq!(queue.take(100, 100).len(), 50);
}

#[test]
fn a_held_plan_holds_up_nothing_else() {
    let mut queue = Queue::default();
    queue.held.insert(PlanKey::of("a", "busy"));
    for plan in ["busy", "free", "busy", "free"] {
        queue.push(waiting("a", plan, 1));
    }
    assert_eq!(names(&queue.take(100, 100)), [("a".into(), "free".into()), ("a".into(), "free".into())]);
    assert!(queue.take(100, 100).is_empty());
    queue.held.remove(&PlanKey::of("a", "busy"));
    assert_eq!(queue.take(100, 100).len(), 2);
}

proptest! {
    /// For any calls, of any sizes, of which some are put back at random: each call is taken exactly once, the calls of a plan
    /// are taken in order, and a batch exceeds its limits only if it has one call.
    #[test]
    fn every_call_leaves_once_and_in_its_plans_order(
        calls in prop::collection::vec((0_usize..3, 0_usize..4, 1_usize..90), 1..80),
        put_back in prop::collection::vec(any::<bool>(), 200),
        room in 1_usize..120,
    ) {
        let mut queue = Queue::default();
        let mut sent: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        for (at, (tenant, plan, events)) in calls.iter().enumerate() {
            let mut call = waiting(&format!("t{tenant}"), &format!("p{plan}"), *events);
            // The actor identifies the call.
            call.call.events[0].actor = at.to_string();
            queue.push(call);
            sent.entry((*tenant, *plan)).or_default().push(at);
        }
        let mut left: HashMap<(String, String), Vec<usize>> = HashMap::new();
        let mut again = put_back.into_iter();
        loop {
            let batch = queue.take(room, 3);
            if batch.is_empty() {
                break;
            }
            let cost: usize = batch.iter().map(|waiting| waiting.cost).sum();
            prop_assert!(cost <= room || batch.len() == 1);
            prop_assert!(batch.iter().map(|waiting| waiting.key).collect::<HashSet<_>>().len() <= 3);
            // Put back all calls of some plans, as after a batch that found these plans busy.
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
