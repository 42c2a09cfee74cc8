//! Streams, consumers and connections, against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Compression, Config, DiscardPolicy};
use futures::FutureExt;
use sealbus_broker::topology::{CHECKPOINTS, DEAD_LETTERS, EVENTS, TopologySettings};
use sealbus_broker::{
    Broker, BrokerConfig, BrokerError, ConsumerSpec, DeadLetter, Deliveries, EventMessage, PublishError,
};
use sealbus_core::names::Subscription;
use sealbus_testkit::{Nats, eventually};

use crate::support::{PARTITIONS, client, connect, record, settings, start};

async fn context(nats: &Nats) -> jetstream::Context {
    jetstream::new(client(nats).await)
}

async fn config(nats: &Nats, stream: &str) -> Config {
    context(nats).await.get_stream(stream).await.unwrap().cached_info().config.clone()
}

fn message(plan: &str, seq: u64) -> EventMessage {
    EventMessage::encode(&record(plan, seq), PARTITIONS).unwrap()
}

async fn publish(broker: &Broker, plan: &str, seq: u64) {
    broker.publish(message(plan, seq)).await.unwrap().acknowledged().await.unwrap();
}

fn spec(partition: Option<u32>) -> ConsumerSpec {
    let spec = ConsumerSpec::new(Subscription::parse("archive").unwrap(), partition);
    ConsumerSpec { expires: Duration::from_secs(1), ack_wait: Duration::from_secs(5), ..spec }
}

/// Acknowledges deliveries until there are so many, and gives their seqs.
async fn take(deliveries: &mut Deliveries, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let batch = tokio::time::timeout(Duration::from_mins(1), deliveries.next_batch()).await.expect("messages come");
        for delivered in batch {
            seqs.push(delivered.record.unwrap().header.seq);
            delivered.handle.ack().await;
        }
    }
    seqs
}

#[tokio::test]
async fn the_streams_are_as_protocol_has_them() {
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

    // Again: nothing changes, though the server has added metadata of its own.
    broker.ensure_topology(&settings()).await.unwrap();
    assert_eq!(config(&nats, EVENTS).await, events);
}

#[tokio::test]
async fn what_sealbus_decides_is_updated_and_the_rest_is_the_operators() {
    let (nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let theirs = Config { compression: Some(Compression::S2), max_bytes: 1 << 20, ..config(&nats, EVENTS).await };
    context(&nats).await.update_stream(&theirs).await.unwrap();
    let longer = TopologySettings { max_age: Duration::from_hours(1), ..settings() };
    broker.ensure_topology(&longer).await.unwrap();
    let now = config(&nats, EVENTS).await;
    assert_eq!((now.max_age, now.max_bytes), (Duration::from_hours(1), 64 << 20));
    assert_eq!(now.compression, Some(Compression::S2));
    assert_eq!(broker.events_state().await.unwrap().messages, 1, "what it holds stays");
}

#[tokio::test]
async fn publishing_is_pipelined_and_a_repeated_id_is_told() {
    let (_nats, broker) = start().await;
    let mut sent = Vec::new();
    for seq in 1..=100 {
        sent.push(broker.publish(message("order-1", seq)).await.unwrap());
    }
    for (at, sent) in sent.into_iter().enumerate() {
        let ack = sent.acknowledged().await.unwrap();
        assert_eq!((ack.stream_seq, ack.duplicate), (at as u64 + 1, false));
    }
    let ack = broker.publish(message("order-1", 7)).await.unwrap().acknowledged().await.unwrap();
    assert_eq!((ack.stream_seq, ack.duplicate), (7, true));
    let ack = broker.publish(message("order-1", 7).as_repair(2)).await.unwrap().acknowledged().await.unwrap();
    assert_eq!((ack.stream_seq, ack.duplicate), (101, false), "a repair is stored");
    let state = broker.events_state().await.unwrap();
    assert_eq!((state.messages, state.first_seq, state.last_seq), (101, 1, 101));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let (mut nats, broker) = start().await;
    let context = context(&nats).await;
    let full = Config { discard: DiscardPolicy::New, max_messages: 1, ..config(&nats, EVENTS).await };
    context.update_stream(&full).await.unwrap();
    publish(&broker, "order-1", 1).await;
    let refused = broker.publish(message("order-1", 2)).await.unwrap().acknowledged().await.unwrap_err();
    assert!(matches!(refused, PublishError::Refused { code: 10077, .. }), "{refused:?}");

    context.delete_stream(EVENTS).await.unwrap();
    let nowhere = broker.publish(message("order-1", 2)).await.unwrap().acknowledged().await.unwrap_err();
    assert!(matches!(nowhere, PublishError::NoStream), "{nowhere:?}");

    let mut large = record("order-1", 2);
    large.payload = Some(format!("\"{}\"", "x".repeat(2 << 20)));
    let large = EventMessage::encode(&support::sealed(large), PARTITIONS).unwrap();
    let error = broker.publish(large).await.err().expect("it is refused");
    assert!(matches!(error, PublishError::TooLarge), "{error:?}");

    let mut connection = broker.connection();
    let before = *connection.borrow_and_update();
    nats.kill().await;
    connection.wait_for(|now| !now.up).await.unwrap();
    assert!(!broker.is_connected());
    let error = broker.publish(message("order-1", 3)).await.err().expect("it is away");
    assert!(matches!(error, PublishError::Away(_)), "{error:?}");
    nats.restart().await;
    let after = *connection.wait_for(|now| now.up).await.unwrap();
    assert!(after.number > before.number);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_only_so_long() {
    let (mut nats, broker) = start().await;
    let sent = broker.publish(message("order-1", 1)).await.unwrap();
    nats.kill().await;
    // Whether it was stored before the end is open; it must not hang.
    let outcome = tokio::time::timeout(Duration::from_secs(30), sent.acknowledged()).await.expect("an end");
    assert!(matches!(outcome, Ok(_) | Err(PublishError::Away(_))), "{outcome:?}");
}

#[tokio::test]
async fn consumers_are_as_protocol_has_them() {
    let (nats, broker) = start().await;
    for partition in [Some(3), None] {
        let mut deliveries = broker.deliveries(spec(partition));
        assert!(deliveries.next_batch().now_or_never().is_none());
        let name = spec(partition).name();
        let stream = context(&nats).await.get_stream(EVENTS).await.unwrap();
        // The first poll began to open it; let it go on until it is there.
        let waiting = tokio::spawn(async move { deliveries.next_batch().await.len() });
        eventually("the consumer is there", async || stream.consumer_info(&name).await.is_ok()).await;
        waiting.abort();
        let config = stream.consumer_info(&name).await.unwrap().config;
        assert_eq!(config.durable_name.as_deref(), Some(if partition.is_some() { "archive-3" } else { "archive" }));
        assert_eq!(config.filter_subject, if partition.is_some() { "events.*.*.3.>" } else { "" });
        assert!(config.filter_subjects.is_empty());
        assert_eq!(config.ack_policy, jetstream::consumer::AckPolicy::Explicit);
        assert_eq!((config.max_deliver, config.ack_wait), (-1, Duration::from_secs(5)));
        assert_eq!(config.metadata["io.sealbus.subscription"], "archive");
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_and_is_counted() {
    let (_nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(spec(None));
    for delivery in 1..=3 {
        let batch = deliveries.next_batch().await;
        assert_eq!((batch[0].handle.deliveries, batch[0].handle.stream_seq), (delivery, 1));
        batch[0].handle.progress().await;
        batch[0].handle.nak(Duration::from_millis(1)).await;
    }
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    publish(&broker, "order-1", 2).await;
    assert_eq!(take(&mut deliveries, 1).await, [2], "the first was done with");
}

#[tokio::test]
async fn a_consumer_that_is_deleted_is_made_again() {
    let (_nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(spec(None));
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    broker.delete_consumer(&spec(None)).await.unwrap();
    broker.delete_consumer(&spec(None)).await.unwrap();
    publish(&broker, "order-1", 2).await;
    assert_eq!(take(&mut deliveries, 2).await, [1, 2], "from the beginning: positions make that harmless");
}

#[tokio::test]
async fn a_consumer_outlives_its_stream() {
    let (nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(spec(None));
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    let remade = async {
        context(&nats).await.delete_stream(EVENTS).await.unwrap();
        broker.ensure_topology(&settings()).await.unwrap();
        publish(&broker, "order-1", 2).await;
    };
    let ((), seqs) = tokio::join!(remade, take(&mut deliveries, 1));
    assert_eq!(seqs, [2]);
}

#[tokio::test]
async fn a_consumer_outlives_its_server() {
    let (mut nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(spec(None));
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    let restarted = async {
        nats.kill().await;
        nats.restart().await;
        eventually("the stream takes messages again", async || match broker.publish(message("order-1", 2)).await {
            Ok(sent) => sent.acknowledged().await.is_ok(),
            Err(_) => false,
        })
        .await;
    };
    let ((), seqs) = tokio::join!(restarted, async {
        let mut seqs = take(&mut deliveries, 1).await;
        // The acknowledgement of the first may have died with the server.
        while !seqs.contains(&2) {
            seqs.extend(take(&mut deliveries, 1).await);
        }
        seqs
    });
    assert_eq!(seqs.last(), Some(&2));
}

#[tokio::test]
async fn a_consumer_from_now_begins_with_what_comes() {
    let (nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(ConsumerSpec { from_now: true, ..spec(None) });
    let later = async {
        let stream = context(&nats).await.get_stream(EVENTS).await.unwrap();
        eventually("the consumer is there", async || stream.consumer_info("archive").await.is_ok()).await;
        publish(&broker, "order-1", 2).await;
    };
    let ((), seqs) = tokio::join!(later, take(&mut deliveries, 1));
    assert_eq!(seqs, [2]);
}

#[tokio::test]
async fn hints_reach_who_listens_and_wait_for_nobody() {
    let (mut nats, broker) = start().await;
    let mut hints = broker.hints(3).await.unwrap();
    let listener = connect(&nats).await;
    let mut others = listener.hints(4).await.unwrap();
    broker.hint(3, 42, &record("order-1", 1));
    let (id, hinted) = hints.next().await.unwrap().read().unwrap();
    assert_eq!((id, hinted), (42, record("order-1", 1)));
    assert!(others.next().now_or_never().is_none());

    let mut connection = broker.connection();
    nats.kill().await;
    connection.wait_for(|now| !now.up).await.unwrap();
    for seq in 0..10_000 {
        broker.hint(3, 43, &record("order-1", seq + 1));
    }
    nats.restart().await;
    connection.wait_for(|now| now.up).await.unwrap();
    // Those were lost; the subscription was not.
    let (id, ()) = tokio::join!(async { hints.next().await.unwrap().read().unwrap().0 }, async {
        eventually("a hint comes through", async || {
            broker.hint(3, 44, &record("order-1", 1));
            true
        })
        .await;
    });
    assert_eq!(id, 44);
}

#[tokio::test]
async fn a_dead_letters_copy_says_whose_and_why() {
    let (nats, broker) = start().await;
    let subscription = Subscription::parse("archive").unwrap();
    let record = record("order-1", 3);
    let error = format!("boom 100%\r\n{}", "é".repeat(1_000));
    let letter = DeadLetter { subscription: &subscription, record: &record, error: &error, attempts: 5 };
    assert!(!broker.copy_dead_letter(letter).await.unwrap().duplicate);
    assert!(broker.copy_dead_letter(letter).await.unwrap().duplicate, "a copy is made once");
    let stream = context(&nats).await.get_stream(DEAD_LETTERS).await.unwrap();
    let copy = stream.get_last_raw_message_by_subject("dlq.archive.acme.payment.settled").await.unwrap();
    let header = |name: &str| copy.headers.get(name).unwrap().as_str();
    assert_eq!(header("sealbus-subscription"), "archive");
    assert_eq!((header("sealbus-plan"), header("sealbus-seq"), header("sealbus-attempts")), ("order-1", "3", "5"));
    assert!(header("sealbus-error").starts_with("boom%20100%25%0D%0A%C3%A9"));
    assert_eq!(header("ce-type"), "payment.settled");
    assert_eq!(copy.payload.as_ref(), record.payload.unwrap().as_bytes());
}

#[tokio::test]
async fn a_start_that_cannot_succeed_says_why() {
    let error = |url: String| async { Broker::connect(BrokerConfig::new(url, "test")).await.err().expect("it fails") };
    assert!(matches!(error("not an address".into()).await, BrokerError::Address(_)));
    let mut nats = Nats::start().await;
    let url = nats.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit('@').next().unwrap();
    if host != rest {
        assert!(matches!(error(format!("{scheme}://nobody:wrong@{host}")).await, BrokerError::Forbidden(_)));
    }
    nats.kill().await;
    let away = error(url).await;
    assert!(matches!(away, BrokerError::Away(_)) && away.is_away());
}
