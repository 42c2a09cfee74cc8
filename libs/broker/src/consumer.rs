//! A subscription's consumer, as data (PROTOCOL, `JetStream`).

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use sealbus_core::names::Subscription;

use crate::topology::own_metadata;

/// A subscription's consumer of the events stream.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    /// Whose it is.
    pub subscription: Subscription,
    /// The partition that it takes; none: all of them.
    pub partition: Option<u32>,
    /// Whether a consumer that does not exist yet begins with what comes now, instead of with all that the stream holds.
    pub from_now: bool,
    /// How long the broker waits for an acknowledgement, or a sign of progress, before it delivers again.
    pub ack_wait: Duration,
    /// Messages that a pull asks for: 16 to 256. With fewer than 16 pulls have been seen to stall.
    pub batch: usize,
    /// How long a pull waits for its messages.
    pub expires: Duration,
    /// Messages that may be delivered and not acknowledged at once, over all processes.
    pub max_unacknowledged: i64,
}

impl ConsumerSpec {
    /// The protocol's settings.
    pub fn new(subscription: Subscription, partition: Option<u32>) -> Self {
        Self {
            subscription,
            partition,
            from_now: false,
            ack_wait: Duration::from_secs(10),
            batch: 256,
            expires: Duration::from_secs(5),
            max_unacknowledged: 2_048,
        }
    }

    /// The consumer's name: `<subscription>-<partition>`, or the subscription's alone.
    pub fn name(&self) -> String {
        match self.partition {
            Some(partition) => format!("{}-{partition}", self.subscription),
            None => self.subscription.to_string(),
        }
    }

    /// The consumer as `JetStream` is to have it.
    pub(crate) fn config(&self) -> pull::Config {
        let name = self.name();
        let description = match self.partition {
            Some(partition) => format!("Subscription {}, partition {partition}", self.subscription),
            None => format!("Subscription {}", self.subscription),
        };
        let mut metadata = HashMap::from(own_metadata("dispatcher"));
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
            // One filter at most: a list of them costs the server many times as much for each message.
            filter_subject: self.partition.map(|partition| format!("events.*.*.{partition}.>")).unwrap_or_default(),
            metadata,
            ..pull::Config::default()
        }
    }
}
