//! Order: whatever the stream does with messages, a plan's events are applied in order, once where the effect is in Postgres.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use sealbus_consumer::{Parallelism, Tenants};
use sealbus_core::names::{Tenant, TypePattern};
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_testkit::eventually;

use crate::support::{Bus, Recorder, Table, rows, settings, subscription, sweeping};

#[tokio::test(flavor = "multi_thread")]
async fn doubled_and_disordered_messages_are_applied_once_in_order() {
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
    eventually("all messages are answered", async || process.counted("duplicates", "audit") >= 20).await;
    assert_eq!(rows(&bus, "order-1").await, (1..=10).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_messages_are_read_from_the_ledger_at_once() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    let records = bus.append("order-1", &["a.b"; 20]).await;
    bus.send(&records[4..5]).await;
    eventually("the fifth pulled its elders", async || recorder.applied("order-1") == (1..=5).collect::<Vec<_>>())
        .await;
    bus.send(&records[19..]).await;
    eventually("the last pulled the rest", async || recorder.applied("order-1") == (1..=20).collect::<Vec<_>>()).await;
    assert_eq!(process.counted("gaps_filled", "audit"), 18);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_wider_than_one_read_is_left_to_replay() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 350]).await;
    bus.send(&records[349..]).await;
    let table = Table::create(&bus, 64).await;
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    eventually("all are applied", async || rows(&bus, "order-1").await.len() == 350).await;
    assert_eq!(rows(&bus, "order-1").await, (1..=350).collect::<Vec<_>>());
    assert_eq!(process.counted("behind", "audit"), 1);
    eventually("the plan is live again", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Live)
    })
    .await;
    let more = bus.publish("order-1", &["a.b"]).await;
    eventually("it follows the stream", async || rows(&bus, "order-1").await.len() == 351).await;
    assert_eq!(more[0].header.seq, 351);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_plans_reach_a_table_in_order_once_each() {
    let bus = Bus::start().await;
    let mut appending = tokio::task::JoinSet::new();
    let bus = std::sync::Arc::new(bus);
    for n in 0..1_000 {
        let bus = bus.clone();
        appending.spawn(async move { bus.append(&format!("plan-{n}"), &["a.b"; 5]).await });
    }
    let plans = appending.join_all().await;
    let table = Table::create(&bus, 64).await;
    let first = bus.consume(subscription("audit"), table.handler(), settings()).await;
    let second = bus.consume(subscription("audit"), table.handler(), settings()).await;
    let mut sending = tokio::task::JoinSet::new();
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
    eventually("all are applied", async || bus.count("SELECT count(*) FROM sealbus_sinks.applied").await >= 5_000)
        .await;
    let disordered = "SELECT count(*) FROM (SELECT seq, row_number() OVER (PARTITION BY plan ORDER BY n) AS at FROM sealbus_sinks.applied) s WHERE seq <> at";
    assert_eq!(bus.count(disordered).await, 0);
    assert_eq!(bus.count("SELECT count(*) FROM sealbus_sinks.applied").await, 5_000);
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.positions WHERE next_seq = 6 AND state = 'live'").await, 1_000);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_is_passed_over_in_its_place() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    let mut payments = subscription("payments");
    payments.wants.types = vec![TypePattern::parse("payment.*").unwrap()];
    let process = bus.consume(payments, recorder.handler(), settings()).await;
    bus.publish(
        "order-1",
        &["order.made", "payment.asked", "order.packed", "order.sent", "payment.made", "order.closed"],
    )
    .await;
    eventually("it follows to the end", async || {
        bus.standing("payments", "order-1").await.is_some_and(|at| at.next_seq == 7)
    })
    .await;
    assert_eq!(recorder.applied("order-1"), [2, 5]);
    assert_eq!(process.counted("delivered", "payments"), 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_other_tenants_have_no_position() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    let mut ours = subscription("ours");
    ours.wants.tenants = Tenants::Some(vec![Tenant::parse("other").unwrap()]);
    let process = bus.consume(ours, recorder.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 3]).await;
    let mut control = subscription("all");
    control.parallelism = Parallelism::One;
    let all = bus.consume(control, recorder.handler(), settings()).await;
    eventually("the other subscription has them", async || recorder.applied("order-1") == [1, 2, 3]).await;
    bus.seal().await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.positions JOIN sealbus.subscriptions USING (subscription_no) WHERE name = 'ours'").await, 0);
    process.stop().await;
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_now_begins_where_it_was_created() {
    let bus = Bus::start().await;
    bus.publish("order-1", &["a.b"; 3]).await;
    let recorder = Recorder::new();
    let mut late = subscription("late");
    late.start = Start::Now;
    let process = bus.consume(late, recorder.handler(), sweeping()).await;
    eventually("it waits to be created", async || {
        bus.count("SELECT count(*) FROM sealbus.subscriptions WHERE name = 'late'").await == 1
    })
    .await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.floors").await, 0, "what was published before is not sealed");
    bus.seal().await;
    eventually("it is created", async || bus.count("SELECT count(*) FROM sealbus.floors").await == 8).await;
    bus.publish("order-1", &["a.b"]).await;
    bus.publish("order-2", &["a.b"]).await;
    // The broker's consumer may have been made after that: what it did not see, the sweep finds.
    bus.seal().await;
    eventually("what came later is applied", async || {
        recorder.applied("order-1") == [4] && recorder.applied("order-2") == [1]
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowded_plan_is_left_behind_while_its_handler_is_busy() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    let gate = recorder.waits();
    let process = bus.consume(subscription("slow"), recorder.handler(), settings()).await;
    bus.publish("order-1", &["a.b"]).await;
    eventually("its handler is at work", async || recorder.tried("order-1", 1) == 1).await;
    let records = bus.append("order-1", &["a.b"; 120]).await;
    bus.send(&records).await;
    eventually("it is left behind", async || {
        bus.standing("slow", "order-1").await.is_some_and(|at| at.state == PositionState::Deferred)
    })
    .await;
    gate.add_permits(100_000);
    eventually("all are applied", async || recorder.applied("order-1").len() == 121).await;
    assert_eq!(
        recorder.applied("order-1"),
        (1..=121).collect::<Vec<_>>(),
        "the effect that was under way is not done again"
    );
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_consumer_of_everything_keeps_order_too() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let mut single = subscription("single");
    single.parallelism = Parallelism::One;
    let process = bus.consume(single, table.handler(), settings()).await;
    for plan in 0..20 {
        bus.publish(&format!("plan-{plan}"), &["a.b"; 3]).await;
    }
    eventually("all are applied", async || bus.count("SELECT count(*) FROM sealbus_sinks.applied").await == 60).await;
    for plan in 0..20 {
        assert_eq!(rows(&bus, &format!("plan-{plan}")).await, [1, 2, 3]);
    }
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.leases WHERE kind = 'deliver/single'").await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_spread_over_processes_and_taken_over_from_one_that_died() {
    let bus = Bus::start().await;
    let (first, second) = (Recorder::new(), Recorder::new());
    let dying = bus.consume(subscription("audit"), first.handler(), settings()).await;
    let staying = bus.consume(subscription("audit"), second.handler(), settings()).await;
    eventually("both hold shares", async || {
        let shares = "SELECT count(*) FROM (SELECT holder FROM sealbus.leases WHERE kind = 'deliver/audit' GROUP BY holder HAVING count(*) = 4) s";
        bus.count(shares).await == 2
    })
    .await;
    for plan in 0..20 {
        bus.publish(&format!("plan-{plan}"), &["a.b"]).await;
    }
    let total = || {
        (0..20)
            .map(|plan| format!("plan-{plan}"))
            .map(|plan| first.applied(&plan).len() + second.applied(&plan).len())
            .sum::<usize>()
    };
    eventually("all are applied, and their positions moved", async || {
        total() == 20 && bus.count("SELECT count(*) FROM sealbus.positions WHERE next_seq = 2").await == 20
    })
    .await;
    dying.crash().await;
    for plan in 0..20 {
        bus.publish(&format!("plan-{plan}"), &["a.b"]).await;
    }
    eventually("the other one takes over", async || total() == 40).await;
    for plan in (0..20).map(|plan| format!("plan-{plan}")) {
        let mut applied = first.applied(&plan);
        applied.extend(second.applied(&plan));
        assert_eq!(applied, [1, 2], "{plan}");
    }
    tokio::time::timeout(Duration::from_secs(30), staying.stop()).await.expect("it ends in good order");
}
