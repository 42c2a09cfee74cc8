//! Consumers of the events stream on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod support;

use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use futures::FutureExt;
use sealbus_broker::topology::EVENTS;
use sealbus_broker::{ConsumerSpec, Deliveries};
use sealbus_core::names::Subscription;
use sealbus_testkit::{eventually, stream_settings};

use crate::support::{jetstream, message, publish, start};

fn spec(partition: Option<u32>) -> ConsumerSpec {
    let subscription = Subscription::parse("archive").unwrap();
    ConsumerSpec { subscription, partition, from_now: false, ack_wait: Duration::from_secs(5) }
}

/// Consumes and acknowledges at least `count` messages, and returns their seqs.
async fn take(deliveries: &mut Deliveries, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let batch = tokio::time::timeout(Duration::from_mins(1), deliveries.next_batch()).await;
        for delivered in batch.expect("no message was delivered within a minute") {
            seqs.push(delivered.record.unwrap().header.seq);
            delivered.handle.ack().await;
        }
    }
    seqs
}

#[tokio::test]
async fn consumers_are_created_as_specified() {
    let (nats, broker) = start().await;
    for partition in [Some(3), None] {
        let mut deliveries = broker.deliveries(spec(partition));
        assert!(deliveries.next_batch().now_or_never().is_none());
        let name = spec(partition).name();
        let stream = jetstream(&nats).await.get_stream(EVENTS).await.unwrap();
        // The first poll has begun to open the consumer. Poll again until it exists.
        let waiting = tokio::spawn(async move { deliveries.next_batch().await.len() });
        eventually("the consumer exists", async || stream.consumer_info(&name).await.is_ok()).await;
        waiting.abort();
        let config = stream.consumer_info(&name).await.unwrap().config;
        assert_eq!(config.durable_name.as_deref(), Some(if partition.is_some() { "archive-3" } else { "archive" }));
        assert_eq!(config.filter_subject, if partition.is_some() { "events.*.*.3.>" } else { "" });
        assert!(config.filter_subjects.is_empty());
        assert_eq!(config.ack_policy, AckPolicy::Explicit);
        assert_eq!((config.max_deliver, config.ack_wait), (-1, Duration::from_secs(5)));
        assert_eq!(config.metadata["io.sealbus.subscription"], "archive");
    }
}

#[tokio::test]
async fn unacknowledged_messages_are_delivered_again_and_counted() {
    let (_nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(ConsumerSpec { ack_wait: Duration::from_secs(2), ..spec(None) });

    // Each time that the acknowledgement does not come, the message is delivered again.
    for delivery in 1..=3 {
        let batch = deliveries.next_batch().await;
        assert_eq!((batch[0].handle.deliveries, batch[0].handle.stream_seq), (delivery, 1));
        batch[0].handle.progress().await;
    }

    // Once acknowledged, it is not.
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    publish(&broker, "order-1", 2).await;
    assert_eq!(take(&mut deliveries, 1).await, [2], "an acknowledged message was delivered again");
}

#[tokio::test]
async fn a_deleted_consumer_is_created_again() {
    let (nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(spec(None));
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    let stream = jetstream(&nats).await.get_stream(EVENTS).await.unwrap();
    stream.delete_consumer("archive").await.unwrap();
    publish(&broker, "order-1", 2).await;
    assert_eq!(take(&mut deliveries, 2).await, [1, 2], "a new consumer starts with the oldest message");
}

#[tokio::test]
async fn deliveries_resume_after_the_stream_was_recreated() {
    let (nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(spec(None));
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    let recreated = async {
        jetstream(&nats).await.delete_stream(EVENTS).await.unwrap();
        broker.ensure_topology(&stream_settings()).await.unwrap();
        publish(&broker, "order-1", 2).await;
    };
    let ((), seqs) = tokio::join!(recreated, take(&mut deliveries, 1));
    assert_eq!(seqs, [2]);
}

#[tokio::test]
async fn deliveries_resume_after_the_server_was_restarted() {
    let (mut nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(spec(None));
    assert_eq!(take(&mut deliveries, 1).await, [1]);
    let restarted = async {
        nats.kill().await;
        nats.restart().await;
        eventually("the stream stores messages again", async || match broker.publish(message("order-1", 2)).await {
            Ok(sent) => sent.acknowledged().await.is_ok(),
            Err(_) => false,
        })
        .await;
    };
    let ((), seqs) = tokio::join!(restarted, async {
        let mut seqs = take(&mut deliveries, 1).await;
        // The acknowledgement of the first message may have been lost with the server.
        while !seqs.contains(&2) {
            seqs.extend(take(&mut deliveries, 1).await);
        }
        seqs
    });
    assert_eq!(seqs.last(), Some(&2));
}

#[tokio::test]
async fn a_consumer_from_now_starts_with_the_next_message() {
    let (nats, broker) = start().await;
    publish(&broker, "order-1", 1).await;
    let mut deliveries = broker.deliveries(ConsumerSpec { from_now: true, ..spec(None) });
    let later = async {
        let stream = jetstream(&nats).await.get_stream(EVENTS).await.unwrap();
        eventually("the consumer exists", async || stream.consumer_info("archive").await.is_ok()).await;
        publish(&broker, "order-1", 2).await;
    };
    let ((), seqs) = tokio::join!(later, take(&mut deliveries, 1));
    assert_eq!(seqs, [2]);
}
