//! Streams and connections on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod support;

use std::time::Duration;

use async_nats::jetstream::stream::{Compression, Config, DiscardPolicy};
use futures::FutureExt;
use sealbus_broker::topology::{CHECKPOINTS, DEAD_LETTERS, EVENTS, TopologySettings};
use sealbus_broker::{Broker, BrokerError, EventMessage, PublishError};
use sealbus_core::names::Subscription;
use sealbus_testkit::{Nats, eventually, stream_settings};

use crate::support::{PARTITIONS, jetstream, message, publish, record, start};

async fn config(nats: &Nats, stream: &str) -> Config {
    jetstream(nats).await.get_stream(stream).await.unwrap().cached_info().config.clone()
}

#[tokio::test]
async fn streams_are_created_as_specified() {
    let (nats, broker) = start().await;
    let events = config(&nats, EVENTS).await;
    assert_eq!(events.subjects, ["events.>"]);
    assert_eq!(events.discard, DiscardPolicy::Old);
    assert_eq!(events.duplicate_window, Duration::from_secs(30));
    assert_eq!((events.max_bytes, events.max_age), (64 << 20, Duration::from_hours(7 * 24)));
    assert!(events.allow_direct && events.allow_atomic_publish && !events.deny_delete);
    assert!(events.description.is_some());
    assert_eq!(events.metadata["io.sealbus.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(events.metadata["io.sealbus.component"], "relay");
    assert_eq!(config(&nats, DEAD_LETTERS).await.subjects, ["dlq.>"]);
    let checkpoints = config(&nats, CHECKPOINTS).await;
    assert!(checkpoints.deny_delete && checkpoints.deny_purge);

    // A second call changes nothing, although the server has added metadata.
    broker.ensure_topology(&stream_settings()).await.unwrap();
    assert_eq!(config(&nats, EVENTS).await, events);
}

#[tokio::test]
async fn an_update_keeps_the_settings_that_belong_to_the_operator() {
    let (nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;

    // An operator changes two settings, one of which Sealbus decides.
    let changed = Config { compression: Some(Compression::S2), max_bytes: 1 << 20, ..config(&nats, EVENTS).await };
    jetstream(&nats).await.update_stream(&changed).await.unwrap();

    // The next update sets that one again, and leaves the other and the messages.
    let shorter = TopologySettings { max_age: Duration::from_hours(1), ..stream_settings() };
    broker.ensure_topology(&shorter).await.unwrap();
    let updated = config(&nats, EVENTS).await;
    assert_eq!((updated.max_age, updated.max_bytes), (Duration::from_hours(1), 64 << 20));
    assert_eq!(updated.compression, Some(Compression::S2));
    assert_eq!(broker.events_state().await.unwrap().messages, 1, "the update lost a message");
}

#[tokio::test]
async fn publishing_is_pipelined_and_duplicates_are_reported() {
    let (nats, broker) = start().await;

    // Send 100 messages before the first acknowledgement is awaited.
    let mut sent = Vec::new();
    for seq in 1..=100 {
        sent.push(broker.publish(message("order-1", seq)).await.unwrap());
    }
    for (stream_seq, sent) in (1..).zip(sent) {
        let ack = sent.acknowledged().await.unwrap();
        assert_eq!((ack.stream_seq, ack.duplicate), (stream_seq, false));
    }

    // The same message is a duplicate; under another id it is stored.
    let ack = broker.publish(message("order-1", 7)).await.unwrap().acknowledged().await.unwrap();
    assert_eq!((ack.stream_seq, ack.duplicate), (7, true));
    nats.publish_copy(&message("order-1", 7), "a repair").await;
    let state = broker.events_state().await.unwrap();
    assert_eq!((state.messages, state.last_seq), (101, 101));
}

#[tokio::test]
async fn each_kind_of_failure_has_its_error() {
    let (mut nats, broker) = start().await;
    let jetstream = jetstream(&nats).await;

    // A full stream refuses.
    let full = Config { discard: DiscardPolicy::New, max_messages: 1, ..config(&nats, EVENTS).await };
    jetstream.update_stream(&full).await.unwrap();
    publish(&broker, "order-1", 1).await;
    let refused = broker.publish(message("order-1", 2)).await.unwrap().acknowledged().await.unwrap_err();
    assert!(matches!(refused, PublishError::Refused { code: 10077, .. }), "{refused:?}");

    // A deleted stream.
    jetstream.delete_stream(EVENTS).await.unwrap();
    let missing = broker.publish(message("order-1", 2)).await.unwrap().acknowledged().await.unwrap_err();
    assert!(matches!(missing, PublishError::NoStream), "{missing:?}");

    // A message above the server's limit.
    let mut large = record("order-1", 2);
    large.payload = Some(format!("\"{}\"", "x".repeat(2 << 20)));
    let large = EventMessage::encode(&support::sealed(large), PARTITIONS).unwrap();
    let error = broker.publish(large).await.err().expect("a message of 2 MiB is refused");
    assert!(matches!(error, PublishError::TooLarge), "{error:?}");

    // A server that is down. The client reconnects when it is up again.
    let mut connection = broker.connection();
    let before = *connection.borrow_and_update();
    nats.kill().await;
    connection.wait_for(|now| !now.up).await.unwrap();
    assert!(!broker.is_connected());
    let error = broker.publish(message("order-1", 3)).await.err().expect("there is no connection");
    assert!(matches!(error, PublishError::Unreachable(_)), "{error:?}");
    nats.restart().await;
    let after = *connection.wait_for(|now| now.up).await.unwrap();
    assert!(after.number > before.number);
}

#[tokio::test]
async fn the_wait_for_an_acknowledgement_ends() {
    let (mut nats, broker) = start().await;
    let sent = broker.publish(message("order-1", 1)).await.unwrap();
    nats.kill().await;
    // The server may have stored the message before it was killed. In both cases the wait ends.
    let outcome = tokio::time::timeout(Duration::from_secs(30), sent.acknowledged()).await;
    let outcome = outcome.expect("the wait did not end within 30 s");
    assert!(matches!(outcome, Ok(_) | Err(PublishError::Unreachable(_))), "{outcome:?}");
}

#[tokio::test]
async fn hints_reach_the_subscribers_of_their_partition_and_never_block() {
    let (mut nats, broker) = start().await;

    // A hint reaches the subscriber of its partition only.
    let mut hints = broker.hints(3).await.unwrap();
    let listener = nats.connect().await;
    let mut others = listener.hints(4).await.unwrap();
    broker.hint(3, 42, &record("order-1", 1));
    let (id, hinted) = hints.next().await.unwrap().read().unwrap();
    assert_eq!((id, hinted), (42, record("order-1", 1)));
    assert!(others.next().now_or_never().is_none());

    // Without a connection, hints are dropped.
    let mut connection = broker.connection();
    nats.kill().await;
    connection.wait_for(|now| !now.up).await.unwrap();
    for seq in 0..10_000 {
        broker.hint(3, 43, &record("order-1", seq + 1));
    }
    nats.restart().await;
    connection.wait_for(|now| now.up).await.unwrap();

    // The subscription receives hints again after the reconnect.
    let mut received = None;
    eventually("a hint is received", async || {
        broker.hint(3, 44, &record("order-1", 1));
        received = hints.next().now_or_never().flatten();
        received.is_some()
    })
    .await;
    assert_eq!(received.unwrap().read().unwrap().0, 44);
}

#[tokio::test]
async fn the_copy_of_a_dead_letter_names_the_subscription_and_the_error() {
    let (nats, broker) = start().await;
    let subscription = Subscription::parse("archive").unwrap();
    let record = record("order-1", 3);
    let error = format!("boom 100%\r\n{}", "é".repeat(1_000));
    let copy = async || broker.copy_dead_letter(&subscription, &record, 5, &error).await.unwrap();
    assert!(!copy().await.duplicate);
    assert!(copy().await.duplicate, "the copy was stored twice");
    let stream = jetstream(&nats).await.get_stream(DEAD_LETTERS).await.unwrap();
    let copy = stream.get_last_raw_message_by_subject("dlq.archive.acme.payment.settled").await.unwrap();
    let header = |name: &str| copy.headers.get(name).unwrap().as_str();
    assert_eq!(header("sealbus-subscription"), "archive");
    assert_eq!((header("sealbus-plan"), header("sealbus-seq"), header("sealbus-attempts")), ("order-1", "3", "5"));
    assert!(header("sealbus-error").starts_with("boom%20100%25%0D%0A%C3%A9"));
    assert_eq!(header("ce-type"), "payment.settled");
    assert_eq!(copy.payload.as_ref(), record.payload.unwrap().as_bytes());
}

#[tokio::test]
async fn each_reason_why_connecting_fails_has_its_error() {
    let error = async |url: String| {
        Broker::connect(&url, "test", Duration::from_secs(5)).await.err().expect("connecting fails")
    };
    assert!(matches!(error("not an address".into()).await, BrokerError::Address(_)));
    let mut nats = Nats::start().await;
    let url = nats.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit('@').next().unwrap();
    if host != rest {
        assert!(matches!(error(format!("{scheme}://nobody:wrong@{host}")).await, BrokerError::Forbidden(_)));
    }
    nats.kill().await;
    let error = error(url).await;
    assert!(matches!(error, BrokerError::Unreachable(_)) && error.is_unreachable(), "{error:?}");
}
