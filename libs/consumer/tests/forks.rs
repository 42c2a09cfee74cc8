//! Forks: a plan stops where the history that a subscription applied is not the ledger's, and goes on once an operator has
//! settled it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_ledger::delivery::command::OperatorAction;
use sealbus_ledger::delivery::operator::CommandError;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_testkit::eventually_eq;

use crate::support::{Bus, Recorder, Table, retrying, settings, subscription, sweeping};

/// A pause short enough for retries in memory.
const SHORT: Duration = Duration::from_millis(5);

/// Returns an event that is validly sealed and not in the ledger, with the place of another one.
fn validly_sealed(bus: &Bus, place: &Record) -> Arc<Record> {
    let mut other = place.clone();
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
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    let applied = async || recorder.applied("order-1");
    let records = bus.publish("order-1", &["a.b"; 3]).await;
    eventually_eq("the applied events", vec![1, 2, 3], applied).await;

    // Another event at seq 2 arrives, and stops the plan.
    let other = validly_sealed(&bus, &records[1]);
    bus.send(from_ref(&other)).await;
    bus.reaches("audit", "order-1", PositionState::Fork).await;
    eventually_eq("the forks", 1, async || process.counter("forks", "audit")).await;

    // No handler runs for later events of the plan, which are noted. Other plans are not affected.
    bus.publish("order-1", &["a.b"]).await;
    bus.publish("order-2", &["a.b"]).await;
    eventually_eq("the events of another plan", vec![1], async || recorder.applied("order-2")).await;
    let seen = async || bus.position("audit", "order-1").await.unwrap().seen_seq;
    eventually_eq("seen_seq of the plan", 4, seen).await;
    assert_eq!(recorder.applied("order-1"), [1, 2, 3]);

    // An operator finds both hashes in the error.
    let error = bus.blocked("audit").await.remove(0).last_error.unwrap();
    for hash in [other.event_hash, records[1].event_hash] {
        assert!(error.contains(&hash.to_string()), "{hash} is not in the error: {error}");
    }

    // Once an operator has settled the fork, the plan continues.
    let settle = OperatorAction::Settle { event_seq: 3, event_hash: records[2].event_hash };
    bus.command("audit", "order-1", settle).await;
    eventually_eq("the applied events", vec![1, 2, 3, 4], applied).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_follows_another_history_is_never_run() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    let records = bus.publish("order-1", &["a.b"; 2]).await;
    eventually_eq("the applied events", vec![1, 2], async || recorder.applied("order-1")).await;

    // The next event links to a predecessor that the ledger does not have.
    let mut next = Record::clone(&records[1]);
    (next.header.seq, next.header.prev) = (3, Hash([9; 32]));
    bus.send(&[validly_sealed(&bus, &next)]).await;
    bus.reaches("audit", "order-1", PositionState::Fork).await;
    assert_eq!(recorder.applied("order-1"), [1, 2]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_finds_a_position_that_left_the_ledgers_chain() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), sweeping()).await;
    bus.publish("order-1", &["a.b"; 2]).await;
    // The position is at its end before it is changed: the next move would overwrite the change.
    bus.reaches_seq("audit", "order-1", 3).await;

    bus.postgres.admin("UPDATE sealbus.positions SET last_hash = decode(repeat('09', 32), 'hex')").await;
    bus.seal().await;
    bus.reaches("audit", "order-1", PositionState::Fork).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_read_from_the_ledger_that_does_not_link_stops_its_plan() {
    let bus = Bus::start().await;
    let records = bus.append("order-1", &["a.b"; 5]).await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    bus.send(&records[..2]).await;
    bus.reaches_seq("audit", "order-1", 3).await;
    process.stop().await;

    // The position is changed while no process remembers it. Then the missing third event does not link to it.
    bus.postgres.admin("UPDATE sealbus.positions SET last_hash = decode(repeat('09', 32), 'hex')").await;
    let process = bus.consume(subscription("audit"), recorder.handler(), settings()).await;
    bus.send(&records[4..]).await;
    bus.reaches("audit", "order-1", PositionState::Fork).await;
    assert_eq!(recorder.applied("order-1"), [1, 2]);
    process.stop().await;
}

/// Deletes a plan's events from a seq on, as a failover to a standby that lacks them does. None of them is sealed.
async fn lose(bus: &Bus, plan: &str, from_seq: u64) {
    for table in ["events", "outbox", "seal_queue"] {
        bus.postgres
            .admin(&format!(
                "SET session_replication_role = replica; DELETE FROM sealbus.{table} lost USING sealbus.plans p
                    WHERE p.plan = '{plan}' AND lost.plan_no = p.plan_no AND lost.seq >= {from_seq}"
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_event_in_the_place_of_a_lost_one_stops_its_plan_at_once() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    let records = bus.publish("order-1", &["a.b"; 10]).await;
    bus.reaches_seq("audit", "order-1", 11).await;

    // The last three events are lost, and a new event gets the first of their places.
    lose(&bus, "order-1", 8).await;
    let new = bus.publish("order-1", &["a.b"]).await;
    assert_eq!(new[0].header.seq, 8);
    bus.reaches("audit", "order-1", PositionState::Fork).await;
    assert_eq!(process.counter("duplicates", "audit"), 0);
    assert_eq!(bus.rows("order-1").await, (1..=10).collect::<Vec<_>>());

    // An operator lets the plan go on after the last event that both histories have. The new event takes effect.
    let settle = OperatorAction::Settle { event_seq: 7, event_hash: records[6].event_hash };
    bus.command("audit", "order-1", settle).await;
    bus.has_rows("order-1", (1..=10).chain([8])).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;

    // The plan follows the stream again.
    bus.publish("order-1", &["a.b"]).await;
    bus.has_rows("order-1", (1..=10).chain([8, 9])).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_waits_for_a_lost_event_is_live_after_a_redrive() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    table.recorder.fail(|record, _| (record.header.seq == 3).then_some("no"));
    let process = bus.consume(retrying("audit", 1, SHORT), table.handler(), settings()).await;
    bus.publish("order-1", &["a.b"; 4]).await;
    bus.reaches("audit", "order-1", PositionState::Dead).await;

    // The ledger loses the event that failed, and those after it. Nothing is left to be skipped.
    lose(&bus, "order-1", 3).await;
    let skipped = bus.try_command("audit", "order-1", OperatorAction::Skip).await;
    assert!(matches!(skipped, Err(CommandError::NothingToSkip(3))), "{skipped:?}");
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.plans WHERE plan = '_deliveries'").await, 0);
    bus.command("audit", "order-1", OperatorAction::Redrive).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;

    // The next event that is published takes the lost one's place, and effect.
    table.recorder.succeed();
    bus.publish("order-1", &["a.b"]).await;
    bus.has_rows("order-1", [1, 2, 3]).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skip_passes_over_events_that_the_ledger_lacks() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let records = bus.append("order-1", &["a.b"; 5]).await;
    bus.postgres
        .admin(
            "SET session_replication_role = replica;
            DELETE FROM sealbus.events e USING sealbus.plans p WHERE p.plan = 'order-1' AND e.plan_no = p.plan_no AND seq IN (2, 3)",
        )
        .await;
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    bus.send(&[records[0].clone(), records[4].clone()]).await;
    bus.reaches("audit", "order-1", PositionState::Parked).await;

    bus.command("audit", "order-1", OperatorAction::Skip).await;
    bus.has_rows("order-1", [1, 4, 5]).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;
    process.stop().await;
}
