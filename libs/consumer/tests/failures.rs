//! Failures: what fails waits alone, is tried as often as the policy says, and is a dead letter then.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sealbus_consumer::{Delivery, Handler, HandlerError, LedgerEffect};
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_ledger::delivery::dead_letters::{BlockedQuery, OperatorAction, OperatorRequest};
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_testkit::eventually;
use sqlx::PgConnection;

use crate::support::{Bus, Recorder, Table, retry, rows, settings, subscription, sweeping};

const SHORT: Duration = Duration::from_millis(5);
/// Longer than memory waits: the plan is parked at the first failure.
const LONG: Duration = Duration::from_millis(1_100);

fn order(subscription: &str, plan: &str, reason: &str) -> OperatorRequest {
    OperatorRequest {
        subscription: Subscription::parse(subscription).unwrap(),
        tenant: Tenant::parse("acme").unwrap(),
        plan: Plan::parse(plan).unwrap(),
        actor: "olga".into(),
        reason: reason.into(),
    }
}

async fn state(bus: &Bus, subscription: &str, plan: &str) -> Option<PositionState> {
    bus.standing(subscription, plan).await.map(|standing| standing.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_failure_is_tried_again_in_memory() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    table.recorder.fails(|record, n| if record.header.seq == 3 && n < 3 { Err("not yet".into()) } else { Ok(()) });
    let mut audit = subscription("audit");
    audit.retry = Some(retry(4, SHORT));
    let process = bus.consume(audit, table.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 5]).await;
    eventually("all are applied", async || rows(&bus, "order-1").await == [1, 2, 3, 4, 5]).await;
    assert_eq!(process.counted("parked", "audit"), 0);
    assert!(process.counted("retried", "audit") >= 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_events_that_fail_in_one_run_are_each_found() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    // The last one alone in its call at first, then one among those that are run again before it.
    table.recorder.fails(|record, n| match (record.header.seq, n) {
        (17, 1) | (3, 2 | 3) => Err("not yet".into()),
        _ => Ok(()),
    });
    let mut audit = subscription("audit");
    audit.retry = Some(retry(9, SHORT));
    bus.publish("order-1", &["a.b"; 17]).await;
    let process = bus.consume(audit, table.handler(), settings()).await;
    eventually("all are applied", async || rows(&bus, "order-1").await == (1..=17).collect::<Vec<_>>()).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_plan_is_parked_and_keeps_its_order_while_all_others_flow() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    table.recorder.fails(
        |record, _| if record.header.plan == "ill" && record.header.seq == 2 { Err("no".into()) } else { Ok(()) },
    );
    let mut audit = subscription("audit");
    audit.retry = Some(retry(100, LONG));
    let process = bus.consume(audit, table.handler(), settings()).await;
    let ill = bus.append("ill", &["a.b"; 6]).await;
    bus.send(&ill[..3]).await;
    eventually("it is parked", async || state(&bus, "audit", "ill").await == Some(PositionState::Parked)).await;
    bus.send(&ill[3..]).await;
    for plan in 0..10 {
        bus.publish(&format!("well-{plan}"), &["a.b"; 3]).await;
    }
    eventually("all others are applied", async || {
        let mut applied = 0;
        for plan in 0..10 {
            applied += rows(&bus, &format!("well-{plan}")).await.len();
        }
        applied == 30
    })
    .await;
    assert_eq!(rows(&bus, "ill").await, [1]);
    let seen = async || bus.standing("audit", "ill").await.unwrap().seen_seq;
    eventually("its later messages are owed", async || seen().await == 6).await;
    table.recorder.works();
    eventually("it goes on by itself", async || rows(&bus, "ill").await == [1, 2, 3, 4, 5, 6]).await;
    eventually("it is live again", async || state(&bus, "audit", "ill").await == Some(PositionState::Live)).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spent_attempts_make_a_dead_letter_that_is_redriven_in_order() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 1).await;
    table
        .recorder
        .fails(|record, _| if record.header.seq == 2 { Err("the printer is out of paper".into()) } else { Ok(()) });
    let mut audit = subscription("audit");
    audit.retry = Some(retry(3, SHORT));
    let process = bus.consume(audit, table.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 4]).await;
    eventually("it is dead", async || state(&bus, "audit", "order-1").await == Some(PositionState::Dead)).await;
    assert_eq!(table.recorder.tried("order-1", 2), 3);
    let detail = bus
        .ledger
        .dead_letters()
        .find(&Subscription::parse("audit").unwrap(), &Tenant::parse("acme").unwrap(), &Plan::parse("order-1").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((detail.position.seq, detail.position.attempts, detail.attempts.len()), (2, 3, 3));
    assert_eq!(detail.position.last_error.as_deref(), Some("the printer is out of paper"));
    assert_eq!(detail.record.unwrap().header.seq, 2);
    eventually("people can see it on the broker", async || {
        bus.nats.messages_of("SEALBUS_DEAD_LETTERS", "dlq.audit.acme.a.b").await == 1
    })
    .await;
    bus.publish("order-1", &["a.b"]).await;
    table.recorder.works();
    bus.ledger
        .dead_letters()
        .issue(&bus.appender, &order("audit", "order-1", "paper is in"), OperatorAction::Redrive)
        .await
        .unwrap();
    eventually("it is applied in order", async || rows(&bus, "order-1").await == [1, 2, 3, 4, 5]).await;
    eventually("it is live again", async || state(&bus, "audit", "order-1").await == Some(PositionState::Live)).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_event_has_no_effect_and_the_rest_goes_on() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    recorder.fails(|record, _| if record.header.seq == 2 { Err("never".into()) } else { Ok(()) });
    let mut audit = subscription("audit");
    audit.retry = Some(retry(1, SHORT));
    let process = bus.consume(audit, recorder.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 3]).await;
    eventually("it is dead", async || state(&bus, "audit", "order-1").await == Some(PositionState::Dead)).await;
    assert_eq!(recorder.tried("order-1", 2), 1, "one attempt is one try");
    bus.ledger
        .dead_letters()
        .issue(&bus.appender, &order("audit", "order-1", "it was a test"), OperatorAction::Skip)
        .await
        .unwrap();
    eventually("the rest is applied", async || recorder.applied("order-1") == [1, 3]).await;
    let owed =
        async || bus.ledger.dead_letters().list(&BlockedQuery { limit: 10, ..BlockedQuery::default() }).await.unwrap();
    eventually("nothing is owed", async || owed().await.is_empty()).await;
    bus.publish("order-1", &["a.b"]).await;
    eventually("it follows the stream", async || recorder.applied("order-1") == [1, 3, 4]).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_over_memory_and_replay() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    recorder.fails(|_, _| Err("never".into()));
    let mut audit = subscription("audit");
    // Two pauses fit into memory, the third and fourth do not.
    audit.retry = Some(retry(5, Duration::from_millis(40)));
    let mut settings = settings();
    settings.tuning.retry_pauses = Duration::from_millis(100);
    let process = bus.consume(audit, recorder.handler(), settings).await;
    bus.publish("order-1", &["a.b"]).await;
    eventually("it is dead", async || state(&bus, "audit", "order-1").await == Some(PositionState::Dead)).await;
    assert_eq!(recorder.tried("order-1", 1), 5);
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 5);
    assert_eq!(bus.count("SELECT attempts::bigint FROM sealbus.positions").await, 5);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_effect_and_acknowledgement_takes_effect_once() {
    let mut bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let gate = table.recorder.waits();
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 3]).await;
    eventually("the handler is at work", async || table.recorder.tried("order-1", 1) == 1).await;
    // No acknowledgement can reach the broker any more.
    bus.nats.kill().await;
    gate.add_permits(1_000);
    eventually("the effect is committed", async || rows(&bus, "order-1").await == [1, 2, 3]).await;
    process.crash().await;
    bus.nats.restart().await;
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    eventually("the messages come again", async || process.counted("duplicates", "audit") == 3).await;
    assert_eq!(rows(&bus, "order-1").await, [1, 2, 3]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_lost_its_lease_takes_no_second_effect() {
    let bus = Bus::start().await;
    let (slow, quick) = (Table::create(&bus, 1).await, Recorder::new());
    let gate = slow.recorder.waits();
    let zombie = bus.consume(subscription("audit"), slow.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 4]).await;
    eventually("its handler is at work", async || slow.recorder.tried("order-1", 1) == 1).await;
    // Its leases are given to another, as if it had been paused for too long.
    let next = Table { recorder: quick.clone(), ..slow.clone() };
    let heir = bus.consume(subscription("audit"), next.handler(), settings()).await;
    bus.postgres
        .admin("UPDATE sealbus.leases SET holder = 'nobody', epoch = epoch + 1, expires_at = clock_timestamp() WHERE kind = 'deliver/audit'")
        .await;
    bus.send_again(
        &bus.ledger.history().range(2, 1, 4, 4).await.unwrap().into_iter().map(Arc::new).collect::<Vec<_>>(),
        2,
    )
    .await;
    gate.add_permits(1_000);
    eventually("all are applied", async || bus.standing("audit", "order-1").await.is_some_and(|at| at.next_seq == 5))
        .await;
    assert_eq!(rows(&bus, "order-1").await, [1, 2, 3, 4]);
    zombie.stop().await;
    heir.stop().await;
    assert_eq!(rows(&bus, "order-1").await, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ends_its_process_is_parked_before_it_runs_and_dies_in_the_end() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    // Each try hangs until its process is gone.
    let _gate = recorder.waits();
    let mut audit = subscription("audit");
    audit.retry = Some(retry(3, SHORT));
    let mut settings = settings();
    (settings.ack_wait, settings.progress_interval) = (Duration::from_secs(1), Duration::from_millis(200));
    (settings.lease_duration, settings.lease_renew_interval) = (Duration::from_millis(500), Duration::from_millis(100));
    bus.publish("order-1", &["a.b"]).await;
    for tries in 1..=10 {
        let process = bus.consume(audit.clone(), recorder.handler(), settings.clone()).await;
        eventually("it is tried again, or given up", async || {
            recorder.tried("order-1", 1) == tries || state(&bus, "audit", "order-1").await == Some(PositionState::Dead)
        })
        .await;
        process.crash().await;
        if state(&bus, "audit", "order-1").await == Some(PositionState::Dead) {
            break;
        }
    }
    // Three deliveries ran; the fourth was parked with an attempt, and two more were begun by replay.
    assert_eq!(recorder.tried("order-1", 1), 5);
}

struct Swallows;

#[async_trait]
impl LedgerEffect for Swallows {
    async fn apply(&self, _: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        let _ = sqlx::query("SELECT 1 / 0").execute(transaction).await;
        Ok(())
    }
}

struct Panics;

#[async_trait]
impl LedgerEffect for Panics {
    async fn apply(&self, _: &[Delivery], _: &mut PgConnection) -> Result<(), HandlerError> {
        panic!("out of cheese\0 {}", "again ".repeat(1_000))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swallowed_error_and_a_panic_are_failures_like_others() {
    let bus = Bus::start().await;
    let (mut swallows, mut panics) = (subscription("swallows"), subscription("panics"));
    swallows.retry = Some(retry(2, SHORT));
    panics.retry = Some(retry(2, SHORT));
    let handlers =
        vec![(swallows, Handler::InLedger(Arc::new(Swallows))), (panics, Handler::InLedger(Arc::new(Panics)))];
    let process = bus.consume_all(handlers, settings()).await;
    bus.publish("order-1", &["a.b"]).await;
    for (name, words) in
        [("swallows", "the handler left the transaction unusable"), ("panics", "the handler panicked: out of cheese")]
    {
        eventually("it is dead", async || state(&bus, name, "order-1").await == Some(PositionState::Dead)).await;
        let query = BlockedQuery {
            subscription: Some(Subscription::parse(name).unwrap()),
            limit: 1,
            ..BlockedQuery::default()
        };
        let owed = bus.ledger.dead_letters().list(&query).await.unwrap();
        assert!(owed[0].last_error.as_ref().unwrap().contains(words), "{owed:?}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_subscription_that_fails_stops_alone() {
    let bus = Bus::start().await;
    let (ill, well) = (Recorder::new(), Recorder::new());
    ill.fails(|_, _| Err("no".into()));
    let mut failing = subscription("ill");
    failing.retry = Some(retry(2, SHORT));
    let process =
        bus.consume_all(vec![(failing, ill.handler()), (subscription("well"), well.handler())], sweeping()).await;
    bus.publish("order-1", &["a.b"; 3]).await;
    bus.seal().await;
    eventually("one is dead", async || state(&bus, "ill", "order-1").await == Some(PositionState::Dead)).await;
    eventually("the other has all", async || well.applied("order-1") == [1, 2, 3]).await;
    process.stop().await;
}
