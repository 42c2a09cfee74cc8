//! Failures: an event that fails is retried as often as its policy allows and is a dead letter then; other plans
//! continue.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sealbus_consumer::{Delivery, Handler, HandlerError, LedgerEffect};
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_ledger::delivery::command::OperatorAction;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_testkit::{eventually, eventually_eq};
use sqlx::PgConnection;

use crate::support::{Bus, Recorder, Table, retrying, settings, subscription, sweeping};

/// A pause short enough for retries in memory.
const SHORT: Duration = Duration::from_millis(5);
/// A pause longer than the budget for pauses in memory: the plan is parked at the first failure.
const LONG: Duration = Duration::from_millis(1_100);

#[tokio::test(flavor = "multi_thread")]
async fn a_short_failure_is_retried_in_memory() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    table.recorder.fail(|record, attempt| (record.header.seq == 3 && attempt < 3).then_some("not yet"));
    let process = bus.consume(retrying("audit", 4, SHORT), table.handler(), settings()).await;

    bus.publish("order-1", &["a.b"; 5]).await;
    bus.has_rows("order-1", 1..=5).await;
    assert_eq!(process.counter("parked", "audit"), 0);
    assert!(process.counter("retried", "audit") >= 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_failing_events_of_a_batch_is_found() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    // The last event fails first, alone in its call. Then one of the events that are applied again before it fails.
    table.recorder.fail(|record, attempt| match (record.header.seq, attempt) {
        (17, 1) | (3, 2 | 3) => Some("not yet"),
        _ => None,
    });

    bus.publish("order-1", &["a.b"; 17]).await;
    let process = bus.consume(retrying("audit", 9, SHORT), table.handler(), settings()).await;
    bus.has_rows("order-1", 1..=17).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_plan_is_parked_and_keeps_its_order_while_all_others_flow() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    table.recorder.fail(|record, _| (record.header.plan == "ill" && record.header.seq == 2).then_some("no"));
    let process = bus.consume(retrying("audit", 100, LONG), table.handler(), settings()).await;

    // The plan is parked at its second event.
    let ill = bus.append("ill", &["a.b"; 6]).await;
    bus.send(&ill[..3]).await;
    bus.reaches("audit", "ill", PositionState::Parked).await;

    // Other plans are applied meanwhile, and later events of the parked plan are noted.
    bus.send(&ill[3..]).await;
    for plan in 0..10 {
        bus.publish(&format!("well-{plan}"), &["a.b"; 3]).await;
    }
    for plan in 0..10 {
        bus.has_rows(&format!("well-{plan}"), 1..=3).await;
    }
    assert_eq!(bus.rows("ill").await, [1]);
    let seen = async || bus.position("audit", "ill").await.unwrap().seen_seq;
    eventually_eq("seen_seq of the parked plan", 6, seen).await;

    // Once the handler succeeds, replay applies the rest in order.
    table.recorder.succeed();
    bus.has_rows("ill", 1..=6).await;
    bus.reaches("audit", "ill", PositionState::Live).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spent_attempts_make_a_dead_letter_that_is_redriven_in_order() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 1).await;
    table.recorder.fail(|record, _| (record.header.seq == 2).then_some("the printer is out of paper"));
    let process = bus.consume(retrying("audit", 3, SHORT), table.handler(), settings()).await;

    // The second event uses up its three attempts.
    bus.publish("order-1", &["a.b"; 4]).await;
    bus.reaches("audit", "order-1", PositionState::Dead).await;
    assert_eq!(table.recorder.attempts("order-1", 2), 3);

    // The metrics show one plan in this state, and how long it has been waiting.
    let dead = r#"{subscription="audit",state="dead"}"#;
    let shown = async || process.gauge(&format!("sealbus_consumer_positions{dead}"));
    eventually_eq("the number of dead letters", 1.0, shown).await;
    let age = format!("sealbus_consumer_position_age_seconds{dead}");
    eventually("the age of the dead letter is above 0", async || process.gauge(&age) > 0.0).await;

    // The ledger has its attempts and errors, and the broker a copy of the event.
    let (subscription, tenant) = (Subscription::parse("audit").unwrap(), Tenant::parse("acme").unwrap());
    let plan = Plan::parse("order-1").unwrap();
    let dead = bus.ledger.dead_letters().find(&subscription, &tenant, &plan).await.unwrap().unwrap();
    assert_eq!((dead.position.seq, dead.position.attempts, dead.attempts.len()), (2, 3, 3));
    assert_eq!(dead.position.last_error.as_deref(), Some("the printer is out of paper"));
    assert_eq!(dead.record.unwrap().header.seq, 2);
    let copies = async || bus.nats.messages_of("SEALBUS_DEAD_LETTERS", "dlq.audit.acme.a.b").await;
    eventually_eq("the copies of the dead letter on the broker", 1, copies).await;

    // After a redrive all events are applied in order, one that arrived meanwhile included.
    bus.publish("order-1", &["a.b"]).await;
    table.recorder.succeed();
    bus.command("audit", "order-1", OperatorAction::Redrive).await;
    bus.has_rows("order-1", 1..=5).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;
    eventually_eq("the number of dead letters", 0.0, shown).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_event_has_no_effect_and_the_rest_is_applied() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    recorder.fail(|record, _| (record.header.seq == 2).then_some("never"));
    let process = bus.consume(retrying("audit", 1, SHORT), recorder.handler(), settings()).await;

    // The retry policy allows one attempt, so the event is a dead letter after its first failure.
    bus.publish("order-1", &["a.b"; 3]).await;
    bus.reaches("audit", "order-1", PositionState::Dead).await;
    assert_eq!(recorder.attempts("order-1", 2), 1);

    // The command `skip` moves the position past the event.
    bus.command("audit", "order-1", OperatorAction::Skip).await;
    eventually_eq("the applied events", vec![1, 3], async || recorder.applied("order-1")).await;
    eventually_eq("the number of blocked plans", 0, async || bus.blocked("audit").await.len()).await;

    // The plan follows the stream again.
    bus.publish("order-1", &["a.b"]).await;
    eventually_eq("the applied events", vec![1, 3, 4], async || recorder.applied("order-1")).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_over_memory_and_replay() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    recorder.fail(|_, _| Some("never"));
    // Two pauses fit into the budget in memory, the third and fourth do not.
    let mut settings = settings();
    settings.retry_budget = Duration::from_millis(100);
    let audit = retrying("audit", 5, Duration::from_millis(40));
    let process = bus.consume(audit, recorder.handler(), settings).await;

    bus.publish("order-1", &["a.b"]).await;
    bus.reaches("audit", "order-1", PositionState::Dead).await;
    assert_eq!(recorder.attempts("order-1", 1), 5);
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 5);
    assert_eq!(bus.count("SELECT attempts::bigint FROM sealbus.positions").await, 5);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_effect_and_acknowledgement_takes_effect_once() {
    let mut bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let gate = table.recorder.block();
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 3]).await;
    eventually("the handler is called", async || table.recorder.attempts("order-1", 1) == 1).await;

    // The effect commits while no acknowledgement can reach the broker.
    bus.nats.kill().await;
    gate.add_permits(1_000);
    bus.has_rows("order-1", 1..=3).await;
    process.crash().await;

    // The next process gets the messages again, and applies none of them.
    bus.nats.restart().await;
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    eventually_eq("the duplicates", 3, async || process.counter("duplicates", "audit")).await;
    assert_eq!(bus.rows("order-1").await, [1, 2, 3]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_owner_of_a_lease_takes_no_second_effect() {
    let bus = Bus::start().await;
    let slow = Table::create(&bus, 1).await;
    let gate = slow.recorder.block();
    let former = bus.consume(subscription("audit"), slow.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 4]).await;
    eventually("the handler of the first process is called", async || slow.recorder.attempts("order-1", 1) == 1).await;

    // Another process gets the leases, as if the first one had been paused for too long.
    let quick = Table { recorder: Recorder::default(), ..slow.clone() };
    let next = bus.consume(subscription("audit"), quick.handler(), settings()).await;
    bus.postgres
        .admin("UPDATE sealbus.leases SET holder = 'nobody', epoch = epoch + 1, expires_at = clock_timestamp() WHERE kind = 'deliver/audit'")
        .await;
    let stored = bus.ledger.history().range(2, 1, 4, 4).await.unwrap();
    bus.send_again(&stored.into_iter().map(Arc::new).collect::<Vec<_>>(), 2).await;

    // The handler of the first process continues, and both processes together have one effect per event.
    gate.add_permits(1_000);
    bus.reaches_seq("audit", "order-1", 5).await;
    assert_eq!(bus.rows("order-1").await, [1, 2, 3, 4]);
    former.stop().await;
    next.stop().await;
    assert_eq!(bus.rows("order-1").await, [1, 2, 3, 4]);
}

/// Delivers an event that ends its process each time, until it is a dead letter. Returns how often its handler was called.
async fn calls_until_dead(attempts: u32) -> usize {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    // Each call of the handler hangs until its process is gone.
    let _gate = recorder.block();
    let audit = retrying("audit", attempts, SHORT);
    let mut settings = settings();
    (settings.ack_wait, settings.progress_interval) = (Duration::from_secs(1), Duration::from_millis(200));
    (settings.lease_duration, settings.lease_renew_interval) = (Duration::from_millis(500), Duration::from_millis(100));
    // Twice this time has to pass before the last attempt counts as ended.
    settings.handler_timeout = Duration::from_secs(5);

    bus.publish("order-1", &["a.b"]).await;
    let is_dead = async || bus.state("audit", "order-1").await == Some(PositionState::Dead);
    for process_no in 1..=10 {
        let process = bus.consume(audit.clone(), recorder.handler(), settings.clone()).await;
        eventually("the event is attempted again, or is a dead letter", async || {
            recorder.attempts("order-1", 1) == process_no || is_dead().await
        })
        .await;
        if is_dead().await {
            process.stop().await;
            break;
        }
        process.crash().await;
    }
    let copies = async || bus.nats.messages_of("SEALBUS_DEAD_LETTERS", "dlq.audit.acme.a.b").await;
    eventually_eq("the copies of the dead letter on the broker", 1, copies).await;
    recorder.attempts("order-1", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ends_its_process_is_parked_before_it_runs_and_is_a_dead_letter_at_last() {
    // Three deliveries called the handler. The fourth was parked with an attempt, and replay started two more.
    assert_eq!(calls_until_dead(3).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ends_its_process_is_copied_also_if_its_policy_has_one_attempt() {
    // The attempt of the fourth delivery was the only one, so replay started none.
    assert_eq!(calls_until_dead(1).await, 3);
}

/// A handler that ignores the error of a statement.
struct IgnoresError;

#[async_trait]
impl LedgerEffect for IgnoresError {
    async fn apply(&self, _: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        let _ = sqlx::query("SELECT 1 / 0").execute(transaction).await;
        Ok(())
    }
}

/// A handler that panics with a long text that has a NUL in it.
struct Panics;

#[async_trait]
impl LedgerEffect for Panics {
    async fn apply(&self, _: &[Delivery], _: &mut PgConnection) -> Result<(), HandlerError> {
        panic!("out of cheese\0 {}", "again ".repeat(1_000))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_error_and_a_panic_are_failures_like_others() {
    let bus = Bus::start().await;
    let handlers = vec![
        (retrying("ignores", 2, SHORT), Handler::InLedger(Arc::new(IgnoresError))),
        (retrying("panics", 2, SHORT), Handler::InLedger(Arc::new(Panics))),
    ];
    let process = bus.consume_all(handlers, settings()).await;

    bus.publish("order-1", &["a.b"]).await;
    for (name, error) in [
        ("ignores", "the effect cannot be committed: error returned from database: current transaction is aborted"),
        ("panics", "the handler panicked: out of cheese"),
    ] {
        bus.reaches(name, "order-1", PositionState::Dead).await;
        let last_error = bus.blocked(name).await.remove(0).last_error.unwrap();
        assert!(last_error.contains(error), "subscription {name} has another error: {last_error}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_subscription_does_not_stop_another() {
    let bus = Bus::start().await;
    let (ill, well) = (Recorder::default(), Recorder::default());
    ill.fail(|_, _| Some("no"));
    let handlers = vec![(retrying("ill", 2, SHORT), ill.handler()), (subscription("well"), well.handler())];
    let process = bus.consume_all(handlers, sweeping()).await;

    bus.publish("order-1", &["a.b"; 3]).await;
    bus.seal().await;
    bus.reaches("ill", "order-1", PositionState::Dead).await;
    eventually_eq("the events of the other subscription", vec![1, 2, 3], async || well.applied("order-1")).await;
    process.stop().await;
}
