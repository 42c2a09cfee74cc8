//! The bookkeeping against a model: whatever happens in whatever order, a message leaves only as it may.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use sealbus_core::event::{Header, PayloadMode};
use sealbus_core::hash::Hash;
use sealbus_core::seal::KeyId;
use sealbus_core::timestamp::Timestamp;
use uuid::Uuid;

use super::*;

const BOUNDS: Bounds = Bounds { per_plan: 4, bytes_per_tenant: 1 << 20, plans_together: 3, worn_delivery: 4 };

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

fn waiting(message: u64, plan: &str, seq: u64) -> Waiting<(u64, String, u64)> {
    Waiting {
        message: (message, plan.to_owned(), seq),
        record: record(plan, seq, 10),
        deliveries: 1,
        since: Instant::now(),
    }
}

fn standing(next_seq: u64, state: State, seen_seq: u64) -> Standing {
    Standing {
        plan_no: 1,
        next_seq,
        last_hash: Hash([0; 32]),
        seen_seq,
        state,
        stored: true,
        attempts: 0,
        ask: None,
        agrees: true,
    }
}

fn arrived(errand: &Errand) -> Vec<u64> {
    match &errand.work {
        Work::Arrived { arrived, .. } => arrived.iter().map(|arrived| arrived.record.header.seq).collect(),
        Work::Replay => vec![],
    }
}

fn name(plan: &str) -> PlanName {
    PlanName::new("acme", plan)
}

#[derive(Clone, Debug)]
enum Op {
    Push {
        plan: u8,
        seq: u64,
    },
    Due {
        plan: u8,
    },
    Take {
        together: bool,
    },
    /// The errand at this place among those in hand ends: applied up to an event, or set aside.
    Done {
        at: usize,
        applied: u64,
        aside: bool,
    },
    PutOff {
        at: usize,
    },
    Overflow {
        plan: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4_u8, 1..30_u64).prop_map(|(plan, seq)| Op::Push { plan, seq }),
        1 => (0..4_u8).prop_map(|plan| Op::Due { plan }),
        4 => any::<bool>().prop_map(|together| Op::Take { together }),
        4 => (0..4_usize, 0..40_u64, any::<bool>()).prop_map(|(at, applied, aside)| Op::Done { at, applied, aside }),
        1 => (0..4_usize).prop_map(|at| Op::PutOff { at }),
        1 => (0..4_u8).prop_map(|plan| Op::Overflow { plan }),
    ]
}

proptest! {
    /// One errand a plan at a time; a message is acknowledged only when the durable standing covers it; none is lost, none is
    /// acknowledged twice; memory is accounted for to the byte.
    #[test]
    fn messages_leave_only_when_the_ledger_covers_them(ops in prop::collection::vec(op(), 1..200)) {
        let now = Instant::now();
        let mut slots: Slots<(u64, String, u64)> = Slots::new(BOUNDS);
        // The durable truth, by plan: (next_seq, state, seen_seq).
        let mut durable: HashMap<String, (u64, State, u64)> = HashMap::new();
        let mut in_hand: Vec<Errand> = Vec::new();
        let (mut held, mut next_id) = (HashSet::new(), 0);
        for op in ops {
            let mut acknowledged = Vec::new();
            match op {
                Op::Push { plan, seq } => {
                    next_id += 1;
                    let plan = format!("plan-{plan}");
                    held.insert(next_id);
                    slots.push(waiting(next_id, &plan, seq), now);
                }
                Op::Due { plan } => slots.replay_is_due(&name(&format!("plan-{plan}")), now),
                Op::Take { together } => {
                    let taken = slots.take(together, now);
                    let most = if together { BOUNDS.plans_together } else { 1 };
                    prop_assert!(taken.len() <= most);
                    for errand in taken {
                        prop_assert!(in_hand.iter().all(|busy| busy.plan != errand.plan), "one errand a plan at a time");
                        in_hand.push(errand);
                    }
                }
                Op::Done { at, applied, aside } if at < in_hand.len() => {
                    let errand = in_hand.remove(at);
                    let entry = durable.entry(errand.plan.plan.to_string()).or_insert((1, State::Live, 0));
                    entry.0 = entry.0.max(applied);
                    if aside {
                        entry.1 = State::Parked;
                        entry.2 = entry.2.max(entry.0).max(arrived(&errand).into_iter().max().unwrap_or(0));
                    } else if entry.0 > entry.2 {
                        entry.1 = State::Live;
                    }
                    let standing = standing(entry.0, entry.1, entry.2);
                    acknowledged = slots.done(&errand.plan, Outcome { standing: Some(standing), again: false }, now);
                }
                Op::PutOff { at } if at < in_hand.len() => {
                    let errand = in_hand.remove(at);
                    slots.put_off(&errand.plan, None, None);
                }
                Op::Overflow { plan } => {
                    let plan = format!("plan-{plan}");
                    if let Some(seen) = slots.overflowing(&name(&plan)) {
                        prop_assert!(slots.overflowing(&name(&plan)).is_none(), "asked once");
                        let entry = durable.entry(plan.clone()).or_insert((1, State::Live, 0));
                        entry.1 = State::Behind;
                        entry.2 = entry.2.max(entry.0).max(seen);
                        let standing = standing(entry.0, entry.1, entry.2);
                        acknowledged = slots.overflowed(&name(&plan), Some(&standing));
                    }
                }
                Op::Done { .. } | Op::PutOff { .. } => {}
            }
            for (id, plan, seq) in acknowledged {
                let (next_seq, state, seen_seq) = durable[&plan];
                prop_assert!(seq < next_seq || state != State::Live && seq <= seen_seq, "{plan}/{seq} at {next_seq} {state}");
                prop_assert!(held.remove(&id), "acknowledged once");
            }
            let there: HashSet<u64> = slots.held_since(Instant::now()).map(|(id, _, _)| *id).collect();
            prop_assert_eq!(&there, &held);
            let bytes: usize = slots.plans.values().flat_map(|slot| slot.queue.iter().chain(&slot.in_hand)).map(Waiting::bytes).sum();
            prop_assert_eq!(slots.total_bytes, bytes);
            prop_assert_eq!(slots.bytes.values().sum::<usize>(), bytes);
        }
        // Nothing waits for ever: whoever is not busy is given out.
        for errand in in_hand {
            slots.put_off(&errand.plan, None, None);
        }
        let mut rounds = 0;
        loop {
            let taken = slots.take(true, now);
            if taken.is_empty() {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 100);
            for errand in taken {
                slots.done(&errand.plan, Outcome { standing: Some(standing(1_000, State::Live, 0)), again: false }, now);
            }
        }
        prop_assert_eq!(slots.held_since(Instant::now()).count(), 0);
        prop_assert_eq!(slots.total_bytes, 0);
    }
}

#[test]
fn more_than_a_plans_bound_makes_it_crowded() {
    let now = Instant::now();
    let mut slots = Slots::new(BOUNDS);
    for seq in 1..=5 {
        slots.push(waiting(seq, "a", seq), now);
    }
    let errands = slots.take(true, now);
    assert!(matches!(errands.as_slice(), [Errand { work: Work::Arrived { crowded: true, .. }, .. }]));
}

#[test]
fn more_than_a_tenants_bytes_makes_its_plans_crowded_and_stops_pulling_at_last() {
    let now = Instant::now();
    let mut slots = Slots::new(Bounds { bytes_per_tenant: 2_000, ..BOUNDS });
    for (index, plan) in ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().enumerate() {
        assert!(slots.has_room());
        slots.push(Waiting { message: index, record: record(plan, 1, 600), deliveries: 1, since: Instant::now() }, now);
    }
    assert!(!slots.has_room());
    let crowded = |errands: &[Errand]| matches!(errands, [Errand { work: Work::Arrived { crowded: true, .. }, .. }]);
    assert!(!crowded(&slots.take(false, now)), "the first fits");
    assert!(crowded(&slots.take(false, now)), "the second is too much");
}

#[test]
fn arrivals_and_replay_take_turns() {
    let now = Instant::now();
    let mut slots = Slots::new(BOUNDS);
    let mut kinds = Vec::new();
    slots.replay_is_due(&name("a"), now);
    slots.push(waiting(1, "a", 1), now);
    for id in 2..6 {
        let errand = slots.take(true, now).pop().expect("the plan is ready");
        kinds.push(matches!(errand.work, Work::Replay));
        slots.push(waiting(id, "a", id), now);
        let again = Outcome { standing: Some(standing(1, State::Behind, id)), again: true };
        slots.done(&name("a"), again, now);
    }
    assert_eq!(kinds, [true, false, true, false]);
}

#[test]
fn a_redelivered_message_shares_no_transaction() {
    let now = Instant::now();
    let mut slots = Slots::new(BOUNDS);
    slots.push(waiting(1, "a", 1), now);
    slots.push(
        Waiting { message: (2, "b".to_owned(), 1), record: record("b", 1, 10), deliveries: 2, since: Instant::now() },
        now,
    );
    slots.push(waiting(3, "c", 1), now);
    let plans: Vec<Vec<String>> = std::iter::repeat_with(|| slots.take(true, now))
        .take_while(|errands| !errands.is_empty())
        .map(|errands| errands.iter().map(|errand| errand.plan.plan.to_string()).collect())
        .collect();
    assert_eq!(plans, [vec!["a"], vec!["b"], vec!["c"]]);
}
