//! Encoding of records as messages and back, in memory and through a server.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sealbus_broker::{ConsumerSpec, DecodeError, EncodeError, EventMessage};
use sealbus_core::names::Subscription;
use sealbus_core::partition::PlanKey;

use crate::support::{PARTITIONS, any_record, record, start};

proptest! {
    #[test]
    fn a_decoded_message_is_the_record_byte_for_byte(record in any_record()) {
        let message = EventMessage::encode(&record, PARTITIONS).unwrap();
        prop_assert_eq!(message.decode().unwrap(), record);
    }

    #[test]
    fn attributes_are_printable_ascii(record in any_record()) {
        let message = EventMessage::encode(&record, PARTITIONS).unwrap();
        for name in ["ce-id", "ce-source", "ce-type", "ce-time", "ce-subject", "ce-sequence", "ce-tenantid", "ce-dataversion"] {
            let value = message.header(name).unwrap();
            prop_assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()), "{}: {}", name, value);
        }
    }
}

#[test]
fn subject_body_and_headers_are_as_specified() {
    let mut record = record("order-42", 7);
    record.metadata =
        r#"{"sealbus":{"content_type":"application/xml","id":"order 7","priority":"high","traceparent":"00-4bf9-00f0-01"}}"#.into();
    let record = support::sealed(record);
    let message = EventMessage::encode(&record, PARTITIONS).unwrap();
    let partition = PlanKey::of("acme", "order-42").partition(PARTITIONS);
    assert_eq!(message.subject(), format!("events.acme.high.{partition}.payment.settled"));
    assert_eq!(message.body(), br#"{"amount":"10.00"}"#);
    for (name, value) in [
        ("Nats-Msg-Id", record.event_hash.to_string().as_str()),
        ("ce-specversion", "1.0"),
        ("ce-id", "order%207"),
        ("ce-source", "urn:acme:orchestrator"),
        ("ce-type", "payment.settled"),
        ("ce-time", "2026-11-20T10:00:00.000000Z"),
        ("ce-subject", "order-42"),
        ("ce-sequence", "7"),
        ("ce-tenantid", "acme"),
        ("ce-actor", "svc-settle"),
        ("ce-dataversion", "1"),
        ("ce-priority", "high"),
        ("ce-datacontenttype", "application/xml"),
        ("traceparent", "00-4bf9-00f0-01"),
        ("sealbus-metadata", &record.metadata),
    ] {
        assert_eq!(message.header(name), Some(value), "{name}");
    }
    assert_eq!(message.header("ce-correlationid"), None, "an absent attribute has no header");
}

#[test]
fn the_source_of_an_event_without_one_is_the_origin() {
    let mut record = record("order-42", 1);
    record.header.source = String::new();
    let message = EventMessage::encode(&support::sealed(record), PARTITIONS).unwrap();
    assert_eq!(message.header("ce-source"), Some("test.example/broker"));
}

#[test]
fn reformatted_metadata_is_encoded_without_line_breaks() {
    let mut record = record("order-42", 1);
    record.metadata = "\n{ \"reason\" :\r\n\t\"a\\nb\" }\n".into();
    let message = EventMessage::encode(&record, PARTITIONS).unwrap();
    assert_eq!(message.decode().unwrap().metadata, "{ \"reason\" :  \t\"a\\nb\" }");
}

#[test]
fn a_record_that_is_not_as_it_was_sealed_cannot_be_encoded() {
    let mut other_time = record("order-42", 1);
    other_time.header.recorded = other_time.header.occurred;
    assert_eq!(EventMessage::encode(&other_time, PARTITIONS).unwrap_err(), EncodeError::EventHash);
    let mut no_seal = record("order-42", 1);
    no_seal.sig.clear();
    assert!(matches!(EventMessage::encode(&no_seal, PARTITIONS).unwrap_err(), EncodeError::Format(_)));
    for event_type in ["payment..settled", "payment.>", "*.settled", ".settled"] {
        let mut no_subject = record("order-42", 1);
        no_subject.header.event_type = event_type.into();
        let no_subject = support::sealed(no_subject);
        assert_eq!(EventMessage::encode(&no_subject, PARTITIONS).unwrap_err(), EncodeError::Subject, "{event_type}");
    }
}

#[tokio::test]
async fn records_of_every_shape_are_published_and_consumed_unchanged() {
    let (nats, broker) = start().await;

    // Publish and consume 200 records.
    let mut runner = TestRunner::deterministic();
    let records: Vec<_> = (0..200).map(|_| any_record().new_tree(&mut runner).unwrap().current()).collect();
    for record in &records {
        let sent = broker.publish(EventMessage::encode(record, PARTITIONS).unwrap()).await.unwrap();
        assert!(!sent.acknowledged().await.unwrap().duplicate);
    }
    let subscription = Subscription::parse("archive").unwrap();
    let spec = ConsumerSpec { subscription, partition: None, from_now: false, ack_wait: Duration::from_secs(10) };
    let mut deliveries = broker.deliveries(spec);
    let mut received = Vec::new();
    while received.len() < records.len() {
        for delivered in deliveries.next_batch().await {
            received.push(delivered.record.unwrap());
            delivered.handle.ack().await;
        }
    }
    assert!(received == records, "the consumed records differ from the published ones in bytes or order");

    // Publish messages that are not events. Each is consumed with the reason.
    let client = nats.client().await;
    let good = EventMessage::encode(&record("order-1", 1), PARTITIONS).unwrap();
    let leaf = good.header("sealbus-leaf").unwrap().to_owned();
    let malformed = [
        (None, None, DecodeError::Missing("sealbus-leaf")),
        (Some("%%%"), None, DecodeError::Malformed("sealbus-leaf")),
        (Some(leaf.as_str()), None, DecodeError::Missing("sealbus-metadata")),
    ];
    for (leaf, metadata, _) in &malformed {
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in [("sealbus-leaf", leaf), ("sealbus-metadata", metadata)] {
            if let Some(value) = value {
                headers.insert(name, *value);
            }
        }
        client.publish_with_headers("events.acme.normal.0.payment.settled", headers, "{}".into()).await.unwrap();
    }
    let mut refused = Vec::new();
    while refused.len() < malformed.len() {
        for delivered in deliveries.next_batch().await {
            refused.push(delivered.record.unwrap_err());
            delivered.handle.term().await;
        }
    }
    assert_eq!(refused, malformed.map(|(_, _, error)| error));
}
