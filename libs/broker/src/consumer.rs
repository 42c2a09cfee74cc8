//! The `JetStream` consumer of a subscription (docs/spec/protocol.md#jetstream-consumers).

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use sealbus_core::names::Subscription;

use crate::topology::bus_metadata;

/// The number of messages that one pull requests. With fewer than 16, pulls have been seen to stall.
const MAX_BATCH: usize = 256;
/// How long a pull waits for messages before it is renewed.
const PULL_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer of the events stream.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    /// The subscription that the consumer belongs to.
    pub subscription: Subscription,
    /// The partition to consume, or `None` for all of them.
    pub partition: Option<u32>,
    /// Whether a new consumer starts with the next message, instead of the oldest one of the stream. It has no effect
    /// on a consumer that exists.
    pub from_now: bool,
    /// How long the broker waits for an acknowledgement, or for [`Handle::progress`](crate::Handle::progress), before
    /// it delivers a message again.
    pub ack_wait: Duration,
    /// The number of messages that one pull requests, 16 to 256.
    pub max_batch: usize,
    /// How long a pull waits for messages before it is renewed.
    pub pull_timeout: Duration,
    /// The number of messages that may be delivered and not yet acknowledged, over all processes.
    pub max_unacknowledged: i64,
}

impl ConsumerSpec {
    /// Returns a consumer that starts with the oldest message of the stream and pulls 256 messages at a time.
    pub fn new(
        subscription: Subscription,
        partition: Option<u32>,
        ack_wait: Duration,
        max_unacknowledged: i64,
    ) -> Self {
        Self {
            subscription,
            partition,
            from_now: false,
            ack_wait,
            max_batch: MAX_BATCH,
            pull_timeout: PULL_TIMEOUT,
            max_unacknowledged,
        }
    }

    /// The consumer's name: `<subscription>-<partition>`, or only the subscription if it consumes all partitions.
    pub fn name(&self) -> String {
        match self.partition {
            Some(partition) => format!("{}-{partition}", self.subscription),
            None => self.subscription.to_string(),
        }
    }

    /// Returns the configuration of the consumer for `JetStream`.
    pub(crate) fn config(&self) -> pull::Config {
        let name = self.name();
        let description = match self.partition {
            Some(partition) => format!("Subscription {}, partition {partition}", self.subscription),
            None => format!("Subscription {}", self.subscription),
        };
        let mut metadata = HashMap::from(bus_metadata("dispatcher"));
        metadata.insert("io.sealbus.subscription".to_owned(), self.subscription.as_str().to_owned());
        pull::Config {
            durable_name: Some(name.clone()),
            name: Some(name),
            description: Some(description),
            deliver_policy: if self.from_now { DeliverPolicy::New } else { DeliverPolicy::All },
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: -1,
            max_ack_pending: self.max_unacknowledged,
            // At most one filter: with a list of them, each message costs the server many times as much.
            filter_subject: self.partition.map(|partition| format!("events.*.*.{partition}.>")).unwrap_or_default(),
            metadata,
            ..pull::Config::default()
        }
    }
}
