//! Consuming the events stream: messages are pulled in batches and acknowledged one by one.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt, StreamExt};
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use tokio::time::sleep;

use crate::consumer::ConsumerSpec;
use crate::error::Cause;
use crate::message::decode;
use crate::topology::{EVENTS, refused, stream_error};
use crate::{Broker, BrokerError, DecodeError};

/// The interval of the server's heartbeats in an idle pull. The client gives a pull up after twice this time without
/// one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The pause before a consumer is opened a second time. It doubles with each attempt.
const MIN_OPEN_DELAY: Duration = Duration::from_millis(50);
/// The longest pause between two attempts to open a consumer.
const MAX_OPEN_DELAY: Duration = Duration::from_secs(2);

/// A delivered message.
#[derive(Debug)]
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

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("deliveries", &self.deliveries)
            .field("stream_seq", &self.stream_seq)
            .finish_non_exhaustive()
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

    /// Deletes a consumer and its record of acknowledgements. It is no error if the consumer does not exist.
    pub async fn delete_consumer(&self, spec: &ConsumerSpec) -> Result<(), BrokerError> {
        let stream = self.jetstream.get_stream(EVENTS).await.map_err(|error| stream_error(EVENTS, error))?;
        if stream.consumer_info(spec.name()).await.is_err_and(|error| error.kind() == ConsumerInfoErrorKind::NotFound) {
            return Ok(());
        }
        let request = format!("the deletion of consumer {}", spec.name());
        stream
            .delete_consumer(&spec.name())
            .await
            .map(drop)
            .map_err(|error| BrokerError::Unanswered { request, cause: error.into() })
    }

    /// Creates or updates a consumer, and begins to pull its messages.
    async fn open_pull(&self, spec: &ConsumerSpec) -> Result<pull::Stream, BrokerError> {
        let request = || format!("consumer {}", spec.name());
        let unanswered = |cause: Cause| BrokerError::Unanswered { request: request(), cause };
        let mut config = spec.config();
        let stream = self.jetstream.get_stream(EVENTS).await.map_err(|error| stream_error(EVENTS, error))?;
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
        let pull = consumer
            .stream()
            .max_messages_per_batch(spec.max_batch)
            .expires(spec.pull_timeout)
            .heartbeat(HEARTBEAT.min(spec.pull_timeout / 3));
        pull.messages().await.map_err(|error| unanswered(error.into()))
    }
}

impl Deliveries {
    /// Waits for a message, and returns it with all others that have arrived, at most [`ConsumerSpec::max_batch`].
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
                Some(Err(error)) => {
                    // A missed heartbeat, a deleted consumer or a lost stream: this pull yields no further messages.
                    tracing::info!(
                        consumer = self.spec.name(),
                        error = %error_chain(&error),
                        "pull failed; reopening the consumer"
                    );
                    self.pull = None;
                    continue;
                }
                None => {
                    self.pull = None;
                    continue;
                }
            };
            self.open_delay = Duration::ZERO;
            let mut batch = vec![delivered(first)];
            while batch.len() < self.spec.max_batch {
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
        match self.broker.open_pull(&self.spec).await {
            Ok(pull) => Some(pull),
            Err(error) => {
                tracing::warn!(
                    consumer = self.spec.name(),
                    error = %error_chain(&error),
                    "consumer cannot be opened; retrying"
                );
                None
            }
        }
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
