//! Taking messages from the events stream for a subscription: pulled in batches, acknowledged one by one.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt, StreamExt};
use sealbus_core::event::Record;
use tokio::time::sleep;

use crate::consumer::ConsumerSpec;
use crate::message::decode;
use crate::topology::{EVENTS, refused, stream_error};
use crate::{Broker, BrokerError, DecodeError};

/// A client that hears nothing for twice this long takes its pull for lost.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest pause before a consumer that could not be opened is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A message as it was delivered.
#[derive(Debug)]
pub struct Delivered {
    /// The event; an error where the message is none of ours, which alone is what [`Handle::term`] is for.
    pub record: Result<Record, DecodeError>,
    /// What to answer with.
    pub handle: Handle,
}

/// The answer to a delivery, apart from what was delivered. An answer that is lost is a delivery more.
pub struct Handle {
    /// How often the message has been delivered, this time included.
    pub deliveries: u64,
    /// Its place in the stream.
    pub stream_seq: u64,
    acker: Acker,
}

impl Handle {
    /// It is done with; it will not come again.
    pub async fn ack(&self) {
        self.answer(AckKind::Ack).await;
    }

    /// It is being worked on: the wait for the acknowledgement begins anew.
    pub async fn progress(&self) {
        self.answer(AckKind::Progress).await;
    }

    /// It is to come again, after `delay`.
    pub async fn nak(&self, delay: Duration) {
        self.answer(AckKind::Nak(Some(delay))).await;
    }

    /// It can never be worked on, by anybody: it is not ours.
    pub async fn term(&self) {
        self.answer(AckKind::Term).await;
    }

    async fn answer(&self, kind: AckKind) {
        if let Err(error) = self.acker.ack_with(kind).await {
            tracing::debug!(%error, stream_seq = self.stream_seq, "an answer was lost; the message comes again");
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

/// The messages of a consumer. Whatever befalls the consumer, the stream or the connection, it is opened again.
pub struct Deliveries {
    broker: Broker,
    spec: ConsumerSpec,
    pull: Option<pull::Stream>,
    pause: Duration,
}

impl Broker {
    /// The messages of a consumer, which is made when it does not exist.
    pub fn deliveries(&self, spec: ConsumerSpec) -> Deliveries {
        Deliveries { broker: self.clone(), spec, pull: None, pause: Duration::ZERO }
    }

    /// Deletes a consumer, with what it knows of acknowledgements. One that does not exist is deleted already.
    pub async fn delete_consumer(&self, spec: &ConsumerSpec) -> Result<(), BrokerError> {
        let stream = self.jetstream.get_stream(EVENTS).await.map_err(|error| stream_error(EVENTS, error))?;
        if stream.consumer_info(spec.name()).await.is_err_and(|error| error.kind() == ConsumerInfoErrorKind::NotFound) {
            return Ok(());
        }
        let what = format!("the deletion of consumer {}", spec.name());
        stream
            .delete_consumer(&spec.name())
            .await
            .map(drop)
            .map_err(|error| BrokerError::Unanswered { what, cause: error.into() })
    }
}

impl Deliveries {
    /// Waits for a message, and gives it with all that have come along, up to the size of a batch. Safe to drop and ask
    /// again. It ends only with the process: failures are logged, and made good by opening the consumer again.
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
                    // A missed heartbeat, a deleted consumer, a stream that is away: this pull brings nothing more.
                    tracing::info!(consumer = self.spec.name(), %error, "consumer is opened again");
                    self.pull = None;
                    continue;
                }
                None => {
                    self.pull = None;
                    continue;
                }
            };
            self.pause = Duration::ZERO;
            let mut batch = vec![delivered(first)];
            while batch.len() < self.spec.batch {
                let Some(Some(Ok(message))) = pull.next().now_or_never() else { break };
                batch.push(delivered(message));
            }
            return batch;
        }
    }

    /// Opens the consumer, or waits before the next attempt.
    async fn open(&mut self) -> Option<pull::Stream> {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).clamp(Duration::from_millis(50), LONGEST_PAUSE);
        match self.broker.open(&self.spec).await {
            Ok(pull) => Some(pull),
            Err(error) => {
                tracing::warn!(
                    consumer = self.spec.name(),
                    error = &error as &dyn std::error::Error,
                    "consumer cannot be opened yet"
                );
                None
            }
        }
    }
}

impl Broker {
    async fn open(&self, spec: &ConsumerSpec) -> Result<pull::Stream, BrokerError> {
        let what = || format!("consumer {}", spec.name());
        let unanswered = |cause: crate::error::Cause| BrokerError::Unanswered { what: what(), cause };
        let mut config = spec.config();
        let stream = self.jetstream.get_stream(EVENTS).await.map_err(|error| stream_error(EVENTS, error))?;
        match stream.consumer_info(spec.name()).await {
            // Rolled back: what this consumer takes for done lies beyond the stream, and it would wait for ever.
            Ok(info) if info.delivered.stream_sequence > stream.cached_info().state.last_sequence => {
                tracing::warn!(consumer = spec.name(), "the stream has lost messages; the consumer begins again");
                stream.delete_consumer(&spec.name()).await.map_err(|error| unanswered(error.into()))?;
            }
            // Where a consumer began cannot be changed, and need not be.
            Ok(info) => config.deliver_policy = info.config.deliver_policy,
            Err(error) => match error.kind() {
                ConsumerInfoErrorKind::NotFound => {}
                ConsumerInfoErrorKind::JetStream(refusal) => return Err(refused(what(), &refusal)),
                _ => return Err(unanswered(error.into())),
            },
        }
        let consumer = stream.create_consumer(config).await.map_err(|error| unanswered(error.into()))?;
        let pull = consumer
            .stream()
            .max_messages_per_batch(spec.batch)
            .expires(spec.expires)
            .heartbeat(HEARTBEAT.min(spec.expires / 3));
        pull.messages().await.map_err(|error| unanswered(error.into()))
    }
}

fn delivered(message: Message) -> Delivered {
    let (deliveries, stream_seq) =
        message.info().map_or((1, 0), |info| (u64::try_from(info.delivered).unwrap_or(1), info.stream_sequence));
    let (message, acker) = message.split();
    Delivered {
        record: decode(message.headers.as_ref(), &message.payload),
        handle: Handle { deliveries, stream_seq, acker },
    }
}
