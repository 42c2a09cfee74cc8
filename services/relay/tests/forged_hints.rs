//! Hints that no publisher of the ledger has sent: phantoms, changed events and wrong rows.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use sealbus_core::event::{Header, PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::partition::PlanKey;
use sealbus_core::timestamp::Timestamp;
use sealbus_relay::Config;
use sealbus_testkit::eventually;
use uuid::Uuid;

use crate::support::{DISABLED, ORIGIN, World, append, config, in_order};

/// The id of an outbox row that does not exist.
const UNKNOWN_ROW: i64 = 4_711;

#[tokio::test(flavor = "multi_thread")]
async fn a_phantom_is_reported() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    world.outbox_is_empty().await;

    // Hint an event that is sealed by the ledger's key, and was never appended.
    let phantom = forge(&world, "phantom-1");
    let broker = world.connect().await;
    let partition = PlanKey::of("acme", "phantom-1").partition(8);
    eventually("the phantom is reported", async || {
        // Hints that are sent before the relay has subscribed are lost. The stream drops the duplicates of the event.
        broker.hint(partition, UNKNOWN_ROW, &phantom);
        relay.metrics.phantoms.get() > 0
    })
    .await;

    // The stream has the phantom. Consumers find that the ledger does not hold it.
    assert!(world.stream().await.contains(&phantom));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_does_not_match_its_seal_is_refused() {
    let world = World::start().await;
    let relay = world.relay("a").await;
    world.outbox_is_empty().await;
    let broker = world.connect().await;
    let valid = forge(&world, "forged-1");
    let partition = PlanKey::of("acme", "forged-1").partition(8);

    // Change one part of the event after another.
    let mut other_payload = valid.clone();
    other_payload.payload = Some("{\"n\":2}".into());
    let mut no_payload = valid.clone();
    no_payload.payload = None;
    let mut other_metadata = valid.clone();
    other_metadata.metadata = "{\"a\":1}".into();
    let mut other_seal = valid.clone();
    other_seal.sig[0] ^= 1;
    let mut other_origin = valid.clone();
    other_origin.header.origin = "elsewhere.example".into();
    other_origin.event_hash = other_origin.header.hash();
    for (change, forged) in [
        ("payload", &other_payload),
        ("missing payload", &no_payload),
        ("metadata", &other_metadata),
        ("seal", &other_seal),
        ("origin", &other_origin),
    ] {
        let refused = relay.metrics.refused_hints();
        eventually(&format!("the hint with another {change} is refused"), async || {
            broker.hint(partition, UNKNOWN_ROW, forged);
            relay.metrics.refused_hints() > refused
        })
        .await;
    }

    // Hint the unchanged event to another partition.
    let refused = relay.metrics.refused_hints();
    eventually("the hint of another partition is refused", async || {
        broker.hint((partition + 1) % 8, UNKNOWN_ROW, &valid);
        relay.metrics.refused_hints() > refused
    })
    .await;

    // Only the ledger's first event was sent.
    assert_eq!(relay.metrics.acknowledged.get(), 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_with_the_row_of_another_event_does_not_delete_that_row() {
    let world = World::start().await;
    let appender = world.appender().await;
    let relay = world.relay_with(Config { scan_interval: DISABLED, full_scan_interval: DISABLED, ..config("a") }).await;
    eventually("the relay owns all partitions", async || relay.metrics.partitions_owned.get() == 8).await;
    world.outbox_is_empty().await;

    // Append an event to each of two plans, and hint the first event with the row of the second one.
    let first = append(&appender, "order-0", 1).await.remove(0);
    append(&appender, "order-1", 1).await;
    let second_row = world.query_number("SELECT max(id) FROM sealbus.outbox").await;
    let broker = world.connect().await;
    let before = relay.metrics.acknowledged.get();
    eventually("the hinted event is relayed", async || {
        broker.hint(PlanKey::of("acme", "order-0").partition(8), second_row, &first);
        relay.metrics.acknowledged.get() > before
    })
    .await;
    relay.stop().await;
    assert_eq!(world.outbox_rows().await, 2, "a row was deleted whose event was not acknowledged under its id");

    // Another relay relays the second event, and deletes both rows.
    let relay = world.relay("b").await;
    world.outbox_is_empty().await;
    assert_eq!(world.seqs().await, in_order(2, 1));
    relay.stop().await;
}

/// Returns an event that is sealed by the ledger's key as the first of its plan, and was never appended.
fn forge(world: &World, plan: &str) -> Record {
    let signer = world.keyring.signer().unwrap();
    let (payload, metadata) = ("{\"n\":1}", "{}");
    let time = Timestamp::from_micros(1_795_168_800_000_000).unwrap();
    let header = Header {
        origin: ORIGIN.into(),
        tenant: "acme".into(),
        plan: plan.into(),
        seq: 1,
        event_id: Uuid::now_v7(),
        event_type: "test.happened".into(),
        data_version: 1,
        occurred: time,
        recorded: time,
        source: String::new(),
        actor: "tester".into(),
        correlation_id: String::new(),
        causation_id: String::new(),
        payload_mode: PayloadMode::Plain,
        payload_size: u32::try_from(payload.len()).unwrap(),
        payload_hash: Hash::of(payload.as_bytes()),
        metadata_hash: Hash::of(metadata.as_bytes()),
        prev: Header::genesis(ORIGIN, "acme", plan),
        kid: signer.kid().clone(),
    };
    let event_hash = header.hash();
    let seal = signer.seal(&header, &event_hash);
    Record {
        header,
        event_hash,
        mac: seal.mac,
        sig: seal.sig,
        payload: Some(payload.into()),
        metadata: metadata.into(),
        request_mac: vec![0; 32],
        v1: None,
        log_index: None,
    }
}
