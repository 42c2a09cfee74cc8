//! Consuming the events stream: messages are pulled in batches and acknowledged one by one
//! (docs/spec/protocol.md#jetstream-consumers).

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt, StreamExt};
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::names::Subscription;
use tokio::time::sleep;

use crate::error::Cause;
use crate::message::decode;
use crate::topology::{EVENTS, bus_metadata, refused};
use crate::{Broker, BrokerError, DecodeError};

/// The number of messages that one pull requests. With fewer than 16, pulls have been seen to stall.
const MAX_BATCH: usize = 256;
/// The number of messages of one consumer that may be delivered and not yet acknowledged, over all processes.
const MAX_UNACKNOWLEDGED: i64 = 512;
/// How long a pull waits for messages before it is renewed.
const PULL_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval of the server's heartbeats in an idle pull. The client gives a pull up after twice this time without
/// one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The pause before a consumer is opened a second time. It doubles with each attempt.
const MIN_OPEN_DELAY: Duration = Duration::from_millis(50);
/// The longest pause between two attempts to open a consumer.
const MAX_OPEN_DELAY: Duration = Duration::from_secs(2);

/// The JetStream consumer of a subscription.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    /// The subscription that the consumer belongs to.
    pub subscription: Subscription,
    /// The partition to consume, or `None` for all of them.
    pub partition: Option<u32>,
    /// Whether a new consumer starts with the next message, instead of the oldest one of the stream. It has no effect
    /// on a consumer that exists.
    pub from_now: bool,
    /// How long the broker waits for an acknowledgement, or for [`Handle::progress`], before it delivers a message
    /// again.
    pub ack_wait: Duration,
}

impl ConsumerSpec {
    /// Returns the name: `<subscription>-<partition>`, or only the subscription if it consumes all partitions.
    pub fn name(&self) -> String {
        match self.partition {
            Some(partition) => format!("{}-{partition}", self.subscription),
            None => self.subscription.to_string(),
        }
    }

    fn config(&self) -> pull::Config {
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
            max_ack_pending: MAX_UNACKNOWLEDGED,
            // At most one filter: with a list of them, each message costs the server many times as much.
            filter_subject: self.partition.map(|partition| format!("events.*.*.{partition}.>")).unwrap_or_default(),
            metadata,
            ..pull::Config::default()
        }
    }
}

/// A delivered message.
pub struct Delivered {
    /// The event, or the reason why the message is not one. Only the latter should be answered with [`Handle::term`].
    pub record: Result<Record, DecodeError>,
    /// The means to answer the delivery.
    pub handle: Handle,
}

/// Answers one delivery of a message. If the answer is lost, the message is delivered again.
pub struct Handle {
    /// How often the message has been delivered, including this time.
    pub deliveries: u64,
    /// The message's sequence in the stream.
    pub stream_seq: u64,
    acker: Acker,
}

impl Handle {
    /// Acknowledges the message: it is not delivered again.
    pub async fn ack(&self) {
        self.answer(AckKind::Ack).await;
    }

    /// Restarts the wait for the acknowledgement, because the message is still being processed.
    pub async fn progress(&self) {
        self.answer(AckKind::Progress).await;
    }

    /// Ends the deliveries of a message that no process can ever apply, because it is not an event of this ledger.
    pub async fn term(&self) {
        self.answer(AckKind::Term).await;
    }

    async fn answer(&self, kind: AckKind) {
        if let Err(error) = self.acker.ack_with(kind).await {
            let stream_seq = self.stream_seq;
            tracing::debug!(error = %error_chain(&*error), stream_seq, "acknowledgement not sent; the message will be delivered again");
        }
    }
}

/// The messages of a consumer. If the consumer, the stream or the connection fails, the consumer is opened again.
pub struct Deliveries {
    broker: Broker,
    spec: ConsumerSpec,
    pull: Option<pull::Stream>,
    open_delay: Duration,
}

impl Broker {
    /// Returns the messages of a consumer. The consumer is created if it does not exist.
    pub fn deliveries(&self, spec: ConsumerSpec) -> Deliveries {
        Deliveries { broker: self.clone(), spec, pull: None, open_delay: Duration::ZERO }
    }

    /// Creates or updates a consumer, and begins to pull its messages.
    async fn open_pull(&self, spec: &ConsumerSpec) -> Result<pull::Stream, BrokerError> {
        let request = || format!("consumer {}", spec.name());
        let unanswered = |cause: Cause| BrokerError::Unanswered { request: request(), cause };
        let mut config = spec.config();
        let stream = self.stream(EVENTS).await?;
        match stream.consumer_info(spec.name()).await {
            // The stream was rolled back: the consumer has acknowledged messages beyond its end, and would wait for
            // ever.
            Ok(info) if info.delivered.stream_sequence > stream.cached_info().state.last_sequence => {
                tracing::warn!(
                    consumer = spec.name(),
                    delivered_seq = info.delivered.stream_sequence,
                    last_seq = stream.cached_info().state.last_sequence,
                    "messages are missing from the stream; recreating the consumer"
                );
                stream.delete_consumer(&spec.name()).await.map_err(|error| unanswered(error.into()))?;
            }
            // JetStream does not let the deliver policy of an existing consumer change, and it need not.
            Ok(info) => config.deliver_policy = info.config.deliver_policy,
            Err(error) => match error.kind() {
                ConsumerInfoErrorKind::NotFound => {}
                ConsumerInfoErrorKind::JetStream(refusal) => return Err(refused(request(), &refusal)),
                _ => return Err(unanswered(error.into())),
            },
        }
        let consumer = stream.create_consumer(config).await.map_err(|error| unanswered(error.into()))?;
        let pull = consumer.stream().max_messages_per_batch(MAX_BATCH).expires(PULL_TIMEOUT).heartbeat(HEARTBEAT);
        pull.messages().await.map_err(|error| unanswered(error.into()))
    }
}

impl Deliveries {
    /// Waits for a message, and returns it with all others that have arrived, at most as many as a pull
    /// asks for (256).
    ///
    /// It never fails: errors are logged, and the consumer is opened again. It is cancel-safe.
    pub async fn next_batch(&mut self) -> Vec<Delivered> {
        loop {
            let pull = match &mut self.pull {
                Some(pull) => pull,
                None => match self.open().await {
                    Some(pull) => self.pull.insert(pull),
                    None => continue,
                },
            };
            let first = match pull.next().await {
                Some(Ok(message)) => message,
                ended => {
                    // A missed heartbeat, a deleted consumer or a lost stream: this pull yields no further messages.
                    if let Some(Err(error)) = ended {
                        let consumer = self.spec.name();
                        tracing::info!(consumer, error = %error_chain(&error), "pull failed; reopening the consumer");
                    }
                    self.pull = None;
                    continue;
                }
            };
            self.open_delay = Duration::ZERO;
            let mut batch = vec![delivered(first)];
            while batch.len() < MAX_BATCH {
                let Some(Some(Ok(message))) = pull.next().now_or_never() else { break };
                batch.push(delivered(message));
            }
            return batch;
        }
    }

    /// Opens the consumer after a pause, which grows with each attempt. Returns `None` and logs the reason if that
    /// fails.
    async fn open(&mut self) -> Option<pull::Stream> {
        sleep(self.open_delay).await;
        self.open_delay = (self.open_delay * 2).clamp(MIN_OPEN_DELAY, MAX_OPEN_DELAY);
        let opened = self.broker.open_pull(&self.spec).await;
        if let Err(error) = &opened {
            let consumer = self.spec.name();
            tracing::warn!(consumer, error = %error_chain(error), "consumer cannot be opened; retrying");
        }
        opened.ok()
    }
}

fn delivered(message: Message) -> Delivered {
    // The numbers are in the reply subject. It can be read for every message that JetStream has delivered, and its
    // count of deliveries is positive. Should a server ever send another, it counts as delivered once.
    let (deliveries, stream_seq) =
        message.info().map_or((1, 0), |info| (u64::try_from(info.delivered).unwrap_or(1), info.stream_sequence));
    let (message, acker) = message.split();
    Delivered {
        record: decode(message.headers.as_ref(), &message.payload),
        handle: Handle { deliveries, stream_seq, acker },
    }
}
