//! The bookkeeping is compared with a model: whatever happens in whatever order, a message leaves memory only when it
//! may.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use sealbus_core::event::{Header, PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::seal::KeyId;
use sealbus_core::timestamp::Timestamp;
use sealbus_ledger::delivery::positions::PositionState;
use uuid::Uuid;

use super::*;
use crate::plan::task::Work;

const LIMITS: Limits = Limits { messages_per_plan: 4, bytes_per_tenant: 1 << 20, plans_per_transaction: 3 };

/// A message is known by a number, its plan and its seq.
type Message = (u64, String, u64);

fn record(plan: &str, seq: u64, payload: usize) -> Arc<Record> {
    let none = Hash([0; 32]);
    let header = Header {
        origin: "test".into(),
        tenant: "acme".into(),
        plan: plan.into(),
        seq,
        event_id: Uuid::nil(),
        event_type: "order.made".into(),
        data_version: 1,
        occurred: Timestamp::from_micros(0).unwrap(),
        recorded: Timestamp::from_micros(0).unwrap(),
        source: String::new(),
        actor: String::new(),
        correlation_id: String::new(),
        causation_id: String::new(),
        payload_mode: PayloadMode::Plain,
        payload_size: 0,
        payload_hash: none,
        metadata_hash: none,
        prev: none,
        kid: KeyId::new("ed25519-0000000000000000"),
    };
    Arc::new(Record {
        header,
        event_hash: none,
        mac: vec![],
        sig: vec![],
        payload: Some("x".repeat(payload)),
        metadata: "{}".into(),
        request_mac: vec![],
        v1: None,
        log_index: None,
    })
}

fn message(id: u64, plan: &str, seq: u64) -> QueuedMessage<Message> {
    QueuedMessage::new(record(plan, seq, 10), 1, (id, plan.to_owned(), seq))
}

fn position(next_seq: u64, state: PositionState, seen_seq: u64) -> Position {
    Position {
        plan_no: 1,
        next_seq,
        last_hash: Hash([0; 32]),
        seen_seq,
        state,
        stored: true,
        attempts: 0,
        command: None,
        agrees: true,
    }
}

fn is_over_limit(task: &PlanTask) -> bool {
    matches!(task.work, Work::Arrived { over_limit: true, .. })
}

fn name(plan: &str) -> PlanName {
    PlanName::new("acme", plan)
}

/// Something that happens to the slots. Tasks in flight are chosen by index.
#[derive(Clone, Debug)]
enum Op {
    Push {
        plan: u8,
        seq: u64,
    },
    ReplayIsDue {
        plan: u8,
    },
    Start {
        together: bool,
    },
    /// A task ends: its plan is applied up to an event, or set aside.
    Finish {
        task: usize,
        applied: u64,
        aside: bool,
    },
    /// A task ends without an effect and is to be repeated.
    Repeat {
        task: usize,
    },
    Defer {
        plan: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4_u8, 1..30_u64).prop_map(|(plan, seq)| Op::Push { plan, seq }),
        1 => (0..4_u8).prop_map(|plan| Op::ReplayIsDue { plan }),
        4 => any::<bool>().prop_map(|together| Op::Start { together }),
        4 => (0..4_usize, 0..40_u64, any::<bool>()).prop_map(|(task, applied, aside)| Op::Finish { task, applied, aside }),
        1 => (0..4_usize).prop_map(|task| Op::Repeat { task }),
        1 => (0..4_u8).prop_map(|plan| Op::Defer { plan }),
    ]
}

proptest! {
    /// A plan has one task at a time. A message is acknowledged only when the durable position covers it. No message is
    /// lost or acknowledged twice. The bytes in memory are exact.
    #[test]
    fn messages_leave_only_when_the_ledger_covers_them(ops in prop::collection::vec(op(), 1..200)) {
        let now = Instant::now();
        let mut slots: Slots<Message> = Slots::new(LIMITS);
        // The durable position of each plan: (next_seq, state, seen_seq).
        let mut durable: HashMap<String, (u64, PositionState, u64)> = HashMap::new();
        let mut in_flight: Vec<PlanTask> = Vec::new();
        let (mut held, mut last_id) = (HashSet::new(), 0);
        for op in ops {
            let mut acknowledged = Vec::new();
            match op {
                Op::Push { plan, seq } => {
                    last_id += 1;
                    held.insert(last_id);
                    slots.push(message(last_id, &format!("plan-{plan}"), seq), now);
                }
                Op::ReplayIsDue { plan } => slots.replay_is_due(&name(&format!("plan-{plan}")), now),
                Op::Start { together } => {
                    let started = slots.next_tasks(together, now);
                    let most = if together { LIMITS.plans_per_transaction } else { 1 };
                    prop_assert!(started.len() <= most, "{} tasks were started at once", started.len());
                    for task in started {
                        let is_busy = in_flight.iter().any(|busy| busy.plan == task.plan);
                        prop_assert!(!is_busy, "plan {:?} has two tasks in flight", task.plan);
                        in_flight.push(task);
                    }
                }
                Op::Finish { task, applied, aside } if task < in_flight.len() => {
                    let task = in_flight.remove(task);
                    let (next_seq, state, seen_seq) =
                        durable.entry(task.plan.plan.to_string()).or_insert((1, PositionState::Live, 0));
                    *next_seq = (*next_seq).max(applied);
                    if aside {
                        *state = PositionState::Parked;
                        *seen_seq = (*seen_seq).max(*next_seq).max(task.work.highest_seq());
                    } else if *next_seq > *seen_seq {
                        *state = PositionState::Live;
                    }
                    let outcome = PlanOutcome::Settled(position(*next_seq, *state, *seen_seq));
                    acknowledged = slots.finish(&task.plan, outcome, now);
                }
                Op::Repeat { task } if task < in_flight.len() => {
                    let task = in_flight.remove(task);
                    acknowledged = slots.finish(&task.plan, PlanOutcome::Repeat(None), now);
                }
                Op::Defer { plan } => {
                    let plan = format!("plan-{plan}");
                    if let Some(seen) = slots.begin_deferring(&name(&plan)) {
                        prop_assert!(slots.begin_deferring(&name(&plan)).is_none(), "the plan is deferred twice at once");
                        let (next_seq, state, seen_seq) = durable.entry(plan.clone()).or_insert((1, PositionState::Live, 0));
                        *state = PositionState::Deferred;
                        *seen_seq = (*seen_seq).max(*next_seq).max(seen);
                        let position = position(*next_seq, *state, *seen_seq);
                        acknowledged = slots.finish_deferring(&name(&plan), Some(&position));
                    }
                }
                Op::Finish { .. } | Op::Repeat { .. } => {}
            }
            for (id, plan, seq) in acknowledged {
                let (next_seq, state, seen_seq) = durable[&plan];
                let is_covered = seq < next_seq || state != PositionState::Live && seq <= seen_seq;
                prop_assert!(is_covered, "{plan}/{seq} is acknowledged at next_seq {next_seq}, state {state}");
                prop_assert!(held.remove(&id), "message {id} is acknowledged twice");
            }
            let in_memory: HashSet<u64> = slots.held_since(Instant::now()).map(|(id, _, _)| *id).collect();
            prop_assert_eq!(&in_memory, &held);
            let queued = slots.plans.values().flat_map(|slot| slot.queue.iter().chain(&slot.in_flight));
            let bytes: usize = queued.map(QueuedMessage::bytes).sum();
            prop_assert_eq!(slots.total_bytes, bytes);
            prop_assert_eq!(slots.bytes.values().sum::<usize>(), bytes);
        }
        // No message waits for ever: once no task is in flight, every plan with messages gets a task.
        for task in in_flight {
            slots.finish(&task.plan, PlanOutcome::Repeat(None), now);
        }
        let mut rounds = 0;
        loop {
            let started = slots.next_tasks(true, now);
            if started.is_empty() {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 100, "plans get tasks without end");
            for task in started {
                slots.finish(&task.plan, PlanOutcome::Settled(position(1_000, PositionState::Live, 0)), now);
            }
        }
        prop_assert_eq!(slots.held_since(Instant::now()).count(), 0);
        prop_assert_eq!(slots.total_bytes, 0);
    }
}

#[test]
fn a_plan_with_more_messages_than_its_limit_is_over_limit() {
    let now = Instant::now();
    let mut slots = Slots::new(LIMITS);
    for seq in 1..=5 {
        slots.push(message(seq, "a", seq), now);
    }
    let tasks = slots.next_tasks(true, now);
    assert!(matches!(tasks.as_slice(), [task] if is_over_limit(task)));
}

#[test]
fn plans_of_a_tenant_with_more_bytes_than_its_limit_are_over_limit_until_pulling_pauses() {
    let now = Instant::now();
    let mut slots = Slots::new(Limits { bytes_per_tenant: 2_000, ..LIMITS });
    for (id, plan) in ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().enumerate() {
        assert!(slots.has_room(), "pulling pauses before message {id}");
        slots.push(QueuedMessage::new(record(plan, 1, 600), 1, id), now);
    }
    assert!(!slots.has_room(), "pulling goes on with four times the bytes of one tenant in memory");
    let mut next_is_over_limit = || slots.next_tasks(false, now).iter().any(is_over_limit);
    assert!(!next_is_over_limit(), "the first plan is within the limit of its tenant");
    assert!(next_is_over_limit(), "the second plan exceeds the limit of its tenant");
}

#[test]
fn arrivals_and_replay_take_turns() {
    let now = Instant::now();
    let mut slots = Slots::new(LIMITS);
    let mut replayed = Vec::new();
    slots.replay_is_due(&name("a"), now);
    slots.push(message(1, "a", 1), now);
    for id in 2..6 {
        let task = slots.next_tasks(true, now).pop().expect("the plan is ready");
        replayed.push(matches!(task.work, Work::Replay));
        slots.push(message(id, "a", id), now);
        slots.finish(&name("a"), PlanOutcome::ReplayAgain(position(1, PositionState::Deferred, id)), now);
    }
    assert_eq!(replayed, [true, false, true, false]);
}

#[test]
fn a_redelivered_message_shares_no_transaction() {
    let now = Instant::now();
    let mut slots = Slots::new(LIMITS);
    slots.push(message(1, "a", 1), now);
    slots.push(QueuedMessage { deliveries: 2, ..message(2, "b", 1) }, now);
    slots.push(message(3, "c", 1), now);
    let plans: Vec<Vec<String>> = std::iter::repeat_with(|| slots.next_tasks(true, now))
        .take_while(|tasks| !tasks.is_empty())
        .map(|tasks| tasks.iter().map(|task| task.plan.plan.to_string()).collect())
        .collect();
    assert_eq!(plans, [vec!["a"], vec!["b"], vec!["c"]]);
}
