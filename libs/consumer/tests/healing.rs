//! Healing: what the stream loses, forges or never had reaches every subscription from the ledger.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self};
use sealbus_broker::EventMessage;
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_ledger::delivery::dead_letters::{BlockedQuery, OperatorAction, OperatorRequest};
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_testkit::eventually;

use crate::support::{Bus, Recorder, Table, rows, settings, subscription, sweeping};

async fn stream(bus: &Bus) -> Stream {
    let client = support::nats_client(bus).await;
    jetstream::new(client).get_stream("SEALBUS_EVENTS").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plans_last_message_that_was_deleted_heals_without_a_later_event() {
    let bus = Bus::start().await;
    bus.publish("order-1", &["a.b"; 3]).await;
    bus.nats.delete_last("SEALBUS_EVENTS", "events.>").await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), sweeping()).await;
    eventually("the stream's two are applied", async || recorder.applied("order-1") == [1, 2]).await;
    bus.seal().await;
    eventually("the third comes from the ledger", async || recorder.applied("order-1") == [1, 2, 3]).await;
    eventually("it is live again", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Live)
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_purged_in_mid_flight_loses_nothing() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let process = bus.consume(subscription("audit"), table.handler(), sweeping()).await;
    for round in 0..5 {
        for plan in 0..10 {
            bus.publish(&format!("plan-{plan}"), &["a.b"; 3]).await;
        }
        if round % 2 == 0 {
            bus.nats.purge("SEALBUS_EVENTS").await;
        }
    }
    bus.seal().await;
    eventually("all are applied", async || bus.count("SELECT count(*) FROM sealbus_sinks.applied").await >= 150).await;
    for plan in 0..10 {
        assert_eq!(rows(&bus, &format!("plan-{plan}")).await, (1..=15).collect::<Vec<_>>());
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_the_sweep_delivers() {
    let mut bus = Bus::start().await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), sweeping()).await;
    bus.publish("order-1", &["a.b"]).await;
    eventually("the stream delivers", async || recorder.applied("order-1") == [1]).await;
    bus.nats.kill().await;
    bus.append("order-1", &["a.b"; 2]).await;
    bus.append("order-2", &["a.b"; 2]).await;
    bus.seal().await;
    eventually("the ledger delivers", async || {
        recorder.applied("order-1") == [1, 2, 3] && recorder.applied("order-2") == [1, 2]
    })
    .await;
    bus.nats.restart().await;
    eventually("the broker is back", async || bus.broker.events_state().await.is_ok()).await;
    bus.publish("order-3", &["a.b"]).await;
    eventually("the stream delivers again", async || recorder.applied("order-3") == [1]).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_never_relayed_is_delivered_and_floors_follow() {
    let bus = Bus::start().await;
    for plan in 0..30 {
        bus.append(&format!("plan-{plan}"), &["a.b"; 40]).await;
    }
    bus.seal().await;
    let table = Table::create(&bus, 64).await;
    let process = bus.consume(subscription("audit"), table.handler(), sweeping()).await;
    eventually("all are applied", async || bus.count("SELECT count(*) FROM sealbus_sinks.applied").await >= 1_200)
        .await;
    eventually("all are live", async || {
        bus.count("SELECT count(*) FROM sealbus.positions WHERE state = 'live'").await == 30
    })
    .await;
    eventually("the floors are beyond them", async || {
        let below = "SELECT count(*) FROM sealbus.log_leaves l JOIN sealbus.floors f USING (partition) WHERE l.leaf_index >= f.floor AND l.plan_no > 1";
        bus.count(below).await == 0
    })
    .await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus_sinks.applied").await, 1_200);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_message_is_refused_and_the_true_event_delivered() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 2]).await;
    let mut forged = Record::clone(&records[0]);
    forged.payload = Some(r#"{"n":1000000}"#.into());
    // It goes first, and bears the true one's id: the stream takes the true one for a duplicate.
    bus.send_message(EventMessage::encode(&forged, 8).unwrap()).await;
    bus.send(&records).await;
    let mut nobody = forged.clone();
    nobody.header.seq = 77;
    nobody.event_hash = nobody.header.hash();
    bus.send_message(EventMessage::encode(&nobody, 8).unwrap()).await;
    let recorder = Recorder::new();
    recorder
        .fails(|record, _| if record.payload.as_deref() == Some(r#"{"n":1}"#) { Ok(()) } else { Err("forged".into()) });
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    eventually("the true ones are applied", async || recorder.applied("order-1") == [1, 2]).await;
    eventually("both forgeries are refused", async || process.counted("refused_seals", "audit") == 2).await;
    assert_eq!(process.counted("failed", "audit"), 0);
    eventually("nothing is left to deliver", async || {
        let stream = stream(&bus).await;
        let partition = sealbus_core::partition::PlanKey::of("acme", "order-1").partition(8);
        let consumer = stream.consumer_info(format!("audit-{partition}")).await.unwrap();
        consumer.num_ack_pending == 0 && consumer.num_pending == 0
    })
    .await;
    process.stop().await;
}

/// An event that somebody with the key sealed, and that the ledger does not hold.
fn sealed_by_us(bus: &Bus, like: &Record) -> Arc<Record> {
    let mut other = like.clone();
    let payload = r#"{"n":2}"#;
    other.header.payload_hash = Hash::of(payload.as_bytes());
    other.payload = Some(payload.into());
    other.event_hash = other.header.hash();
    let seal = bus.keyring.signer().unwrap().seal(&other.header, &other.event_hash);
    (other.mac, other.sig) = (seal.mac, seal.sig);
    Arc::new(other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_different_event_at_a_known_seq_stops_its_plan_until_it_is_settled() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    let records = bus.publish("order-1", &["a.b"; 3]).await;
    eventually("all are applied", async || recorder.applied("order-1") == [1, 2, 3]).await;
    let other = sealed_by_us(&bus, &records[1]);
    bus.send(std::slice::from_ref(&other)).await;
    eventually("the plan stops", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Fork)
    })
    .await;
    assert_eq!(process.counted("forks", "audit"), 1);
    bus.publish("order-1", &["a.b"]).await;
    bus.publish("order-2", &["a.b"]).await;
    eventually("others flow", async || recorder.applied("order-2") == [1]).await;
    eventually("what comes is owed", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.seen_seq == 4)
    })
    .await;
    assert_eq!(recorder.applied("order-1"), [1, 2, 3], "no handler runs");
    let owed =
        bus.ledger.dead_letters().list(&BlockedQuery { limit: 1, ..BlockedQuery::default() }).await.unwrap().remove(0);
    let said = owed.last_error.unwrap();
    for kept in [other.event_hash, records[1].event_hash] {
        assert!(said.contains(&kept.to_string()), "both events are kept: {said}");
    }
    let order = OperatorRequest {
        subscription: Subscription::parse("audit").unwrap(),
        tenant: Tenant::parse("acme").unwrap(),
        plan: Plan::parse("order-1").unwrap(),
        actor: "olga".into(),
        reason: "the other one came from a lost disk".into(),
    };
    bus.ledger
        .dead_letters()
        .issue(&bus.appender, &order, OperatorAction::Settle { stands: records[1].event_hash })
        .await
        .unwrap();
    eventually("it goes on", async || recorder.applied("order-1") == [1, 2, 3, 4]).await;
    eventually("it is live again", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Live)
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_follows_another_history_is_never_run() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    let records = bus.publish("order-1", &["a.b"; 2]).await;
    eventually("they are applied", async || recorder.applied("order-1") == [1, 2]).await;
    let mut next = Record::clone(&records[1]);
    (next.header.seq, next.header.prev) = (3, Hash([9; 32]));
    bus.send(&[sealed_by_us(&bus, &next)]).await;
    eventually("the plan stops", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Fork)
    })
    .await;
    assert_eq!(recorder.applied("order-1"), [1, 2]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_finds_a_position_that_left_the_ledgers_chain() {
    let bus = Bus::start().await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), sweeping()).await;
    bus.publish("order-1", &["a.b"; 2]).await;
    // Both, and committed: otherwise their own commit would put right what is changed here.
    eventually("they are applied", async || bus.standing("audit", "order-1").await.is_some_and(|at| at.next_seq == 3))
        .await;
    bus.postgres.admin("UPDATE sealbus.positions SET last_hash = decode(repeat('09', 32), 'hex')").await;
    bus.seal().await;
    eventually("the plan stops", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Fork)
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_elders_the_ledger_lacks_is_parked_until_they_are_back() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 4]).await;
    let stolen = "SET session_replication_role = replica;
        CREATE TABLE stolen AS SELECT * FROM sealbus.events WHERE plan_no = 2 AND seq = 2;
        DELETE FROM sealbus.events WHERE plan_no = 2 AND seq = 2";
    bus.postgres.admin(stolen).await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    bus.send(&[records[0].clone(), records[3].clone()]).await;
    eventually("it is parked", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Parked)
    })
    .await;
    assert_eq!(recorder.applied("order-1"), [1]);
    eventually("replay looks for it", async || process.counted("missing", "audit") > 2).await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 1, "said once");
    bus.postgres.admin("SET session_replication_role = replica; INSERT INTO sealbus.events SELECT * FROM stolen").await;
    eventually("it goes on", async || recorder.applied("order-1") == [1, 2, 3, 4]).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_row_of_the_ledger_is_not_delivered() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 3]).await;
    bus.postgres
        .admin(r#"SET session_replication_role = replica; UPDATE sealbus.events SET payload = '{"n":9}' WHERE plan_no = 2 AND seq = 2"#)
        .await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    bus.send(&[records[0].clone(), records[2].clone()]).await;
    eventually("it is parked", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Parked)
    })
    .await;
    assert_eq!(recorder.applied("order-1"), [1]);
    let owed =
        bus.ledger.dead_letters().list(&BlockedQuery { limit: 1, ..BlockedQuery::default() }).await.unwrap().remove(0);
    assert!(owed.last_error.as_ref().unwrap().contains("PAYLOAD_HASH"), "{owed:?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_read_from_the_ledger_that_does_not_link_stops_its_plan() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 5]).await;
    let recorder = Recorder::new();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    bus.send(&records[..2]).await;
    eventually("they are applied", async || bus.standing("audit", "order-1").await.is_some_and(|at| at.next_seq == 3))
        .await;
    process.stop().await;
    bus.postgres.admin("UPDATE sealbus.positions SET last_hash = decode(repeat('09', 32), 'hex')").await;
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    bus.send(&records[4..]).await;
    eventually("the plan stops", async || {
        bus.standing("audit", "order-1").await.is_some_and(|at| at.state == PositionState::Fork)
    })
    .await;
    assert_eq!(recorder.applied("order-1"), [1, 2]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_that_stands_still_is_seen() {
    let bus = Bus::start().await;
    let mut settings = settings();
    settings.tuning.sealing_alarm_age = Duration::from_millis(20);
    let process = bus.consume(subscription("audit"), Recorder::new().handler(), settings).await;
    bus.append("order-1", &["a.b"]).await;
    eventually("the age shows", async || process.value("sealbus_consumer_unsealed_age_seconds") > 0.0).await;
    bus.seal().await;
    eventually("it is over", async || process.value("sealbus_consumer_unsealed_age_seconds") == 0.0).await;
    process.stop().await;
}
