//! Healing: what the stream loses, forges or never had reaches every subscription from the ledger.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use sealbus_broker::EventMessage;
use sealbus_consumer::Settings;
use sealbus_core::event::Record;
use sealbus_core::partition::PlanKey;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_testkit::{eventually, eventually_eq};

use crate::support::{Bus, Recorder, Table, settings, subscription, sweeping};

#[tokio::test(flavor = "multi_thread")]
async fn a_plans_last_message_that_was_deleted_heals_without_a_later_event() {
    let bus = Bus::start().await;
    bus.publish("order-1", &["a.b"; 3]).await;
    bus.nats.delete_last("SEALBUS_EVENTS", "events.>").await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), sweeping()).await;

    // The stream delivers two events, and the sweep finds the third once it is sealed.
    let applied = async || recorder.applied("order-1");
    eventually_eq("the applied events", vec![1, 2], applied).await;
    bus.seal().await;
    eventually_eq("the applied events", vec![1, 2, 3], applied).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;
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
    for plan in 0..10 {
        bus.has_rows(&format!("plan-{plan}"), 1..=15).await;
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_unreachable_the_sweep_delivers() {
    let mut bus = Bus::start().await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), sweeping()).await;

    // The stream delivers at first.
    bus.publish("order-1", &["a.b"]).await;
    eventually_eq("the applied events", vec![1], async || recorder.applied("order-1")).await;

    // Without a broker, the sweep delivers.
    bus.nats.kill().await;
    bus.append("order-1", &["a.b"; 2]).await;
    bus.append("order-2", &["a.b"; 2]).await;
    bus.seal().await;
    let applied = async || (recorder.applied("order-1"), recorder.applied("order-2"));
    eventually_eq("the applied events of both plans", (vec![1, 2, 3], vec![1, 2]), applied).await;

    // The stream delivers again.
    bus.nats.restart().await;
    eventually("the broker is reachable", async || bus.broker.events_state().await.is_ok()).await;
    bus.publish("order-3", &["a.b"]).await;
    eventually_eq("the applied events", vec![1], async || recorder.applied("order-3")).await;
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

    let applied = "SELECT count(*) FROM sealbus_sinks.applied";
    eventually("1,200 events are applied", async || bus.count(applied).await >= 1_200).await;
    let live = "SELECT count(*) FROM sealbus.positions WHERE state = 'live'";
    eventually_eq("the live positions", 30, async || bus.count(live).await).await;
    let above_floor = "SELECT count(*) FROM sealbus.log_leaves l JOIN sealbus.floors f USING (partition) WHERE l.leaf_index >= f.floor AND l.plan_no > 1";
    eventually_eq("the leaves above the floors", 0, async || bus.count(above_floor).await).await;
    assert_eq!(bus.count(applied).await, 1_200, "events were applied twice");
    process.stop().await;
}

async fn events_stream(bus: &Bus) -> jetstream::stream::Stream {
    jetstream::new(bus.nats.client().await).get_stream("SEALBUS_EVENTS").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_message_is_refused_and_the_true_event_delivered() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 2]).await;
    // A forgery with the message id of the true event is sent first, so that the stream drops the true one as a
    // duplicate.
    let mut forged = Record::clone(&records[0]);
    forged.payload = Some(r#"{"n":1000000}"#.into());
    bus.send_message(EventMessage::encode(&forged, 8).unwrap()).await;
    bus.send(&records).await;
    // Another forgery is for a place that the ledger has no event for.
    let mut invented = forged.clone();
    invented.header.seq = 77;
    invented.event_hash = invented.header.hash();
    bus.send_message(EventMessage::encode(&invented, 8).unwrap()).await;

    // The handler gets the true events only.
    let recorder = Recorder::default();
    recorder.fail(|record, _| (record.payload.as_deref() != Some(r#"{"n":1}"#)).then_some("forged"));
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    eventually_eq("the applied events", vec![1, 2], async || recorder.applied("order-1")).await;
    eventually_eq("the refused messages", 2, async || process.counter("refused_seals", "audit")).await;
    assert_eq!(process.counter("failed", "audit"), 0);

    // No message is left to be delivered again.
    let consumer = format!("audit-{}", PlanKey::of("acme", "order-1").partition(8));
    eventually("every message is acknowledged or terminated", async || {
        let consumer = events_stream(&bus).await.consumer_info(&consumer).await.unwrap();
        consumer.num_ack_pending == 0 && consumer.num_pending == 0
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_predecessors_the_ledger_lacks_is_parked_until_they_are_back() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 4]).await;
    let steal = "SET session_replication_role = replica;
        CREATE TABLE stolen AS SELECT * FROM sealbus.events WHERE plan_no = 2 AND seq = 2;
        DELETE FROM sealbus.events WHERE plan_no = 2 AND seq = 2";
    bus.postgres.admin(steal).await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;

    // The plan is parked before the missing event, which replay looks for again and again. The reason is stored once.
    bus.send(&[records[0].clone(), records[3].clone()]).await;
    bus.reaches("audit", "order-1", PositionState::Parked).await;
    assert_eq!(recorder.applied("order-1"), [1]);
    eventually("replay has looked for the event again", async || process.counter("missing", "audit") > 2).await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 1);

    // Once the event is back, the plan continues.
    bus.postgres.admin("SET session_replication_role = replica; INSERT INTO sealbus.events SELECT * FROM stolen").await;
    eventually_eq("the applied events", vec![1, 2, 3, 4], async || recorder.applied("order-1")).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_row_of_the_ledger_is_not_delivered() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 3]).await;
    bus.postgres
        .admin(r#"SET session_replication_role = replica; UPDATE sealbus.events SET payload = '{"n":9}' WHERE plan_no = 2 AND seq = 2"#)
        .await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;

    // The second event has to be read from the ledger, where its payload was changed.
    bus.send(&[records[0].clone(), records[2].clone()]).await;
    bus.reaches("audit", "order-1", PositionState::Parked).await;
    assert_eq!(recorder.applied("order-1"), [1]);
    let error = bus.blocked("audit").await.remove(0).last_error.unwrap();
    assert!(error.contains("PAYLOAD_HASH"), "the verdict is not in the error: {error}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floors_that_stand_still_are_counted_until_they_move_or_their_leases_are_lost() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 1).await;
    let settings = Settings { floor_alarm_age: Duration::from_millis(100), ..sweeping() };
    let process = bus.consume(subscription("audit"), table.handler(), settings).await;
    let audit = r#"{subscription="audit"}"#;
    let standing = async || process.gauge(&format!("sealbus_consumer_standing_floors_now{audit}"));
    let age = async || process.gauge(&format!("sealbus_consumer_floor_age_seconds{audit}"));

    // The database keeps the floors where they are. Sealed events lie above one of them.
    let refuse = "CREATE FUNCTION sealbus.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER skip BEFORE UPDATE ON sealbus.floors FOR EACH ROW EXECUTE FUNCTION sealbus.skip()";
    bus.postgres.admin(refuse).await;
    bus.publish("order-1", &["a.b"; 3]).await;
    bus.seal().await;
    let is_shown = async || standing().await >= 1.0 && age().await > 0.0;
    eventually("a floor stands still", is_shown).await;

    // Without its leases, which it can neither renew nor take, the process shows no floor.
    let keep_leases =
        "CREATE TRIGGER skip BEFORE INSERT OR UPDATE ON sealbus.leases FOR EACH ROW EXECUTE FUNCTION sealbus.skip()";
    bus.postgres.admin(keep_leases).await;
    eventually_eq("the standing floors and their age", (0.0, 0.0), async || (standing().await, age().await)).await;
    bus.postgres.admin("DROP TRIGGER skip ON sealbus.leases").await;
    eventually("a floor stands still again", is_shown).await;

    bus.postgres.admin("DROP TRIGGER skip ON sealbus.floors").await;
    eventually_eq("the number of standing floors", 0.0, standing).await;
    process.stop().await;
}
