//! A broker with Sealbus' streams, and records of every shape.
#![allow(dead_code, reason = "each test program uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use async_nats::jetstream;
use proptest::prelude::*;
use sealbus_broker::{Broker, EventMessage};
use sealbus_core::event::{Header, PayloadMode, Record, V1};
use sealbus_core::hash::Hash;
use sealbus_core::seal::KeyId;
use sealbus_core::timestamp::Timestamp;
use sealbus_testkit::Nats;
use uuid::Uuid;

/// The number of partitions of the records' ledger.
pub(crate) const PARTITIONS: u32 = 8;

/// Starts a server with Sealbus' streams, and connects to it.
pub(crate) async fn start() -> (Nats, Broker) {
    let nats = Nats::start().await;
    let broker = nats.connect_with_streams().await;
    (nats, broker)
}

/// Connects with the client's own JetStream API.
pub(crate) async fn jetstream(nats: &Nats) -> jetstream::Context {
    jetstream::new(nats.client().await)
}

/// Returns the message of [`record`].
pub(crate) fn message(plan: &str, seq: u64) -> EventMessage {
    EventMessage::encode(&record(plan, seq), PARTITIONS).unwrap()
}

/// Publishes [`message`] and waits for the acknowledgement.
pub(crate) async fn publish(broker: &Broker, plan: &str, seq: u64) {
    broker.publish(message(plan, seq)).await.unwrap().acknowledged().await.unwrap();
}

/// Returns the event of a plan with this seq. Its signature is not valid, which the broker does not check.
pub(crate) fn record(plan: &str, seq: u64) -> Record {
    sealed(Record {
        header: Header {
            origin: "test.example/broker".into(),
            tenant: "acme".into(),
            plan: plan.into(),
            seq,
            event_id: Uuid::from_u128(seq.into()),
            event_type: "payment.settled".into(),
            data_version: 1,
            occurred: Timestamp::from_micros(1_795_168_800_000_000).unwrap(),
            recorded: Timestamp::from_micros(1_795_168_800_123_456).unwrap(),
            source: "urn:acme:orchestrator".into(),
            actor: "svc-settle".into(),
            correlation_id: String::new(),
            causation_id: String::new(),
            payload_mode: PayloadMode::Plain,
            payload_size: 0,
            payload_hash: Hash([0; 32]),
            metadata_hash: Hash([0; 32]),
            prev: Hash([7; 32]),
            kid: KeyId::new("ed25519-0123456789abcdef"),
        },
        event_hash: Hash([0; 32]),
        mac: Vec::new(),
        sig: vec![9; 64],
        payload: Some(r#"{"amount":"10.00"}"#.into()),
        metadata: r#"{"reason":"test"}"#.into(),
        request_mac: vec![5; 32],
        v1: None,
        log_index: None,
    })
}

/// Sets the hashes of a record to those of its texts and fields.
pub(crate) fn sealed(mut record: Record) -> Record {
    let payload = record.payload.as_deref().unwrap_or_default();
    record.header.payload_size = u32::try_from(payload.len()).unwrap();
    record.header.payload_hash = Hash::of(payload.as_bytes());
    record.header.metadata_hash = Hash::of(record.metadata.as_bytes());
    record.event_hash = record.header.hash();
    record
}

prop_compose! {
    /// Any record that the format of the seal allows. The API allows fewer: names and metadata may contain any
    /// characters here.
    pub fn any_record()(
        names in ("[a-z0-9][a-z0-9_-]{0,62}", "\\PC{1,60}", "[A-Za-z0-9_-]{1,12}(\\.[A-Za-z0-9_-]{1,12}){0,7}"),
        texts in ("\\PC{0,200}", "\\PC{0,60}", "\\PC{0,60}", "\\PC{0,60}"),
        numbers in (1_u64..1 << 53, 1_u32..1 << 31, any::<u128>(), 0_i64..4_102_444_800_000_000),
        bytes in (any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 64), prop::collection::vec(any::<u8>(), 32)),
        mode in prop::sample::select(vec![PayloadMode::Plain, PayloadMode::Encrypted, PayloadMode::HashOnly]),
        payload in prop::collection::hash_map(any::<String>(), any::<String>(), 0..4),
        metadata in prop::collection::hash_map(any::<String>(), any::<String>(), 0..4),
        priority in prop::sample::select(vec!["high", "normal", "low"]),
        hmac in any::<bool>(),
        v1 in prop::option::of((any::<String>(), prop::option::of(any::<String>()), any::<String>())),
    ) -> Record {
        let mut metadata: serde_json::Value = serde_json::to_value(metadata).unwrap();
        metadata["sealbus"] = serde_json::json!({ "auth": "none", "priority": priority, "traceparent": "00-ab-cd-01" });
        let mut record = record(&names.1, numbers.0);
        let header = &mut record.header;
        (header.tenant, header.event_type) = (names.0, names.2);
        (header.source, header.actor, header.correlation_id, header.causation_id) = texts;
        (header.data_version, header.event_id) = (numbers.1, Uuid::from_u128(numbers.2));
        header.occurred = Timestamp::from_micros(numbers.3).unwrap();
        header.prev = Hash(bytes.0);
        header.payload_mode = mode;
        record.request_mac = bytes.2;
        (record.mac, record.sig) = if hmac { (bytes.1[..32].to_vec(), Vec::new()) } else { (Vec::new(), bytes.1) };
        if hmac {
            header.kid = KeyId::new("hmac-0123456789abcdef");
        }
        record.payload = (mode != PayloadMode::HashOnly).then(|| serde_json::to_string(&payload).unwrap());
        record.metadata = metadata.to_string();
        record.v1 = v1.map(|(payload_hash, prev_hash, signature)| V1 { payload_hash, prev_hash, signature });
        sealed(record)
    }
}
