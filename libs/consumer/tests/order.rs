//! Order: whatever happens to messages in the stream, a plan's events are applied in order, and an effect in Postgres
//! once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use sealbus_consumer::{Parallelism, SubscriptionSpec, Tenants};
use sealbus_core::names::{Tenant, TypePattern};
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_testkit::{eventually, eventually_eq};
use tokio::task::JoinSet;

use crate::support::{Bus, Recorder, Table, settings, subscription, sweeping};

const APPLIED: &str = "SELECT count(*) FROM sealbus_sinks.applied";

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_and_disordered_messages_are_applied_once_in_order() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 10]).await;
    let mut shuffled = records.clone();
    shuffled.reverse();
    shuffled.swap(2, 7);
    bus.send(&shuffled).await;
    bus.send_again(&records, 2).await;
    bus.send_again(&shuffled, 3).await;

    let table = Table::create(&bus, 16).await;
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    eventually("20 of 30 messages are duplicates", async || process.counter("duplicates", "audit") >= 20).await;
    bus.has_rows("order-1", 1..=10).await;
    process.stop().await;
    assert_eq!(bus.rows("order-1").await, (1..=10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_messages_are_read_from_the_ledger_at_once() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    let records = bus.append("order-1", &["a.b"; 20]).await;

    // Only the fifth and the last message arrive.
    bus.send(&records[4..5]).await;
    let applied = async || recorder.applied("order-1");
    eventually_eq("the applied events", (1..=5).collect::<Vec<_>>(), applied).await;
    bus.send(&records[19..]).await;
    eventually_eq("the applied events", (1..=20).collect::<Vec<_>>(), applied).await;
    assert_eq!(process.counter("gaps_filled", "audit"), 18);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_wider_than_one_read_is_left_to_replay() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 350]).await;
    bus.send(&records[349..]).await;
    let table = Table::create(&bus, 64).await;
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;

    // The plan is deferred once and replayed to its end.
    bus.has_rows("order-1", 1..=350).await;
    eventually_eq("the deferrals", 1, async || process.counter("behind", "audit")).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;

    // The position follows the stream again.
    let more = bus.publish("order-1", &["a.b"]).await;
    bus.has_rows("order-1", 1..=351).await;
    assert_eq!(more[0].header.seq, 351);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_plans_reach_a_table_in_order_once_each() {
    let bus = Arc::new(Bus::start().await);
    let mut appending = JoinSet::new();
    for n in 0..1_000 {
        let bus = bus.clone();
        appending.spawn(async move { bus.append(&format!("plan-{n}"), &["a.b"; 5]).await });
    }
    let plans = appending.join_all().await;

    // Two processes consume while the messages are sent, those of many plans interleaved.
    let table = Table::create(&bus, 64).await;
    let first = bus.consume(subscription("audit"), table.handler(), settings()).await;
    let second = bus.consume(subscription("audit"), table.handler(), settings()).await;
    let mut sending = JoinSet::new();
    for part in plans.chunks(100) {
        let (bus, part) = (bus.clone(), part.to_vec());
        sending.spawn(async move {
            for seq in 0..5 {
                for records in &part {
                    bus.send(&records[seq..=seq]).await;
                }
            }
        });
    }
    sending.join_all().await;

    eventually("5,000 events are applied", async || bus.count(APPLIED).await >= 5_000).await;
    let disordered = "SELECT count(*) FROM (SELECT seq, row_number() OVER (PARTITION BY plan ORDER BY n) AS place FROM sealbus_sinks.applied) s WHERE seq <> place";
    assert_eq!(bus.count(disordered).await, 0, "events were applied out of order");
    assert_eq!(bus.count(APPLIED).await, 5_000, "events were applied twice");
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.positions WHERE next_seq = 6 AND state = 'live'").await, 1_000);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unwanted_types_are_passed_over_in_their_place() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let mut payments = subscription("payments");
    payments.wants.types = vec![TypePattern::parse("payment.*").unwrap()];
    let process = bus.consume(payments, recorder.handler(), settings()).await;
    let types = ["order.made", "payment.asked", "order.packed", "order.sent", "payment.made", "order.closed"];

    bus.publish("order-1", &types).await;
    bus.reaches_seq("payments", "order-1", 7).await;
    assert_eq!(recorder.applied("order-1"), [2, 5]);
    eventually_eq("the delivered events", 2, async || process.counter("delivered", "payments")).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_other_tenants_have_no_position() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let mut other = subscription("other");
    other.wants.tenants = Tenants::Some(vec![Tenant::parse("other").unwrap()]);
    let process = bus.consume(other, recorder.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 3]).await;

    // A subscription to all tenants shows that the events have been delivered.
    let control = SubscriptionSpec { parallelism: Parallelism::One, ..subscription("all") };
    let all = bus.consume(control, recorder.handler(), settings()).await;
    eventually_eq("the events of all tenants", vec![1, 2, 3], async || recorder.applied("order-1")).await;
    bus.seal().await;
    let positions = "SELECT count(*) FROM sealbus.positions JOIN sealbus.subscriptions USING (subscription_no) WHERE name = 'other'";
    assert_eq!(bus.count(positions).await, 0);
    process.stop().await;
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_from_now_starts_where_it_was_created() {
    let bus = Bus::start().await;
    bus.publish("order-1", &["a.b"; 3]).await;
    let recorder = Recorder::default();
    let late = SubscriptionSpec { start: Start::Now, ..subscription("late") };
    let process = bus.consume(late, recorder.handler(), sweeping()).await;

    // It has its floors at once, although no earlier event is sealed and no sealer runs.
    let floors = async || bus.count("SELECT count(*) FROM sealbus.floors").await;
    eventually_eq("the floors of the subscription", 8, floors).await;

    // It gets later events only.
    bus.publish("order-1", &["a.b"]).await;
    bus.publish("order-2", &["a.b"]).await;
    // The broker's consumer may have been created after that. What it did not see, the sweep finds.
    bus.seal().await;
    let applied = async || (recorder.applied("order-1"), recorder.applied("order-2"));
    eventually_eq("the applied events of both plans", (vec![4], vec![1]), applied).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_over_its_limit_is_deferred_while_its_handler_is_busy() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let gate = recorder.block();
    let process = bus.consume(subscription("slow"), recorder.handler(), settings()).await;
    bus.publish("order-1", &["a.b"]).await;
    eventually("the handler is called", async || recorder.attempts("order-1", 1) == 1).await;

    // More events than the plan's limit arrive meanwhile.
    let records = bus.append("order-1", &["a.b"; 120]).await;
    bus.send(&records).await;
    bus.reaches("slow", "order-1", PositionState::Deferred).await;

    // The effect in flight is not repeated, and replay applies the rest.
    gate.add_permits(100_000);
    eventually("121 events are applied", async || recorder.applied("order-1").len() >= 121).await;
    assert_eq!(recorder.applied("order-1"), (1..=121).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_over_its_limit_that_has_applied_all_that_arrived_is_not_deferred() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let gate = recorder.block();
    let single = SubscriptionSpec { parallelism: Parallelism::One, ..subscription("slow") };
    let process = bus.consume(single, recorder.handler(), settings()).await;
    let records = bus.publish("order-1", &["a.b"]).await;
    eventually("the handler is called", async || recorder.attempts("order-1", 1) == 1).await;

    // Another process has applied the event meanwhile. It arrives again, more often than the plan's limit; once the message of the
    // other plan has arrived, all of them have.
    bus.postgres
        .admin(
            "INSERT INTO sealbus.positions (subscription_no, plan_no, next_seq, last_hash, epoch)
             SELECT s.subscription_no, e.plan_no, e.seq + 1, e.event_hash, 1
             FROM sealbus.subscriptions s, sealbus.events e JOIN sealbus.plans p USING (plan_no) WHERE p.plan = 'order-1'",
        )
        .await;
    for generation in 2..102 {
        bus.send_again(&records, generation).await;
    }
    bus.publish("order-2", &["a.b"]).await;
    eventually("all messages have arrived", async || recorder.attempts("order-2", 1) == 1).await;
    gate.add_permits(100_000);
    eventually("all copies were duplicates", async || process.counter("duplicates", "slow") >= 100).await;
    bus.reaches("slow", "order-1", PositionState::Live).await;
    assert_eq!(process.counter("missing", "slow"), 0, "replay looked for an event that did not exist yet");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_consumer_of_all_partitions_keeps_order_too() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let single = SubscriptionSpec { parallelism: Parallelism::One, ..subscription("single") };
    let process = bus.consume(single, table.handler(), settings()).await;
    for plan in 0..20 {
        bus.publish(&format!("plan-{plan}"), &["a.b"; 3]).await;
    }

    for plan in 0..20 {
        bus.has_rows(&format!("plan-{plan}"), 1..=3).await;
    }
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.leases WHERE kind = 'deliver/single'").await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_shared_by_processes_and_taken_over_from_one_that_crashed() {
    let bus = Bus::start().await;
    let (first, second) = (Recorder::default(), Recorder::default());
    let crashing = bus.consume(subscription("audit"), first.handler(), settings()).await;
    let staying = bus.consume(subscription("audit"), second.handler(), settings()).await;
    let plans: Vec<String> = (0..20).map(|plan| format!("plan-{plan}")).collect();
    let publish_to_all = async || {
        for plan in &plans {
            bus.publish(plan, &["a.b"]).await;
        }
    };
    let total = || plans.iter().map(|plan| first.applied(plan).len() + second.applied(plan).len()).sum::<usize>();

    // Each process gets four of the eight partitions, and both work.
    let fair = "SELECT count(*) FROM (SELECT holder FROM sealbus.leases WHERE kind = 'deliver/audit' GROUP BY holder HAVING count(*) = 4) s";
    eventually_eq("the processes with four leases", 2, async || bus.count(fair).await).await;
    publish_to_all().await;
    let moved = "SELECT count(*) FROM sealbus.positions WHERE next_seq = 2";
    eventually_eq("the applied events, and the moved positions", (20, 20), async || (total(), bus.count(moved).await))
        .await;

    // The other process takes over from the one that crashed.
    crashing.crash().await;
    publish_to_all().await;
    eventually_eq("the applied events", 40, async || total()).await;
    for plan in &plans {
        let applied = [first.applied(plan), second.applied(plan)].concat();
        assert_eq!(applied, [1, 2], "the events of {plan}");
    }
    tokio::time::timeout(Duration::from_secs(30), staying.stop()).await.expect("the process ends within 30 s");
}
