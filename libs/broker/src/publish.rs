//! Pipelined publishing: sending a message and waiting for its acknowledgement are separate steps.

use std::error::Error as _;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError as ClientError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;

use crate::{Broker, EventMessage, PublishError};

/// The acknowledgement of a message by the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The message's sequence in the stream, or that of the message that it duplicates.
    pub stream_seq: u64,
    /// Whether the stream had already stored a message with the same id within the duplicate window.
    pub duplicate: bool,
}

/// A message that was handed to the connection.
///
/// The acknowledgement must be awaited by a task that does not wait for other sends in the meantime: each message
/// without an awaited acknowledgement occupies one of the client's 65,536 slots.
#[must_use = "nothing is known about the message until its acknowledgement was awaited"]
pub struct Sent(PublishAckFuture);

impl Sent {
    /// Waits for the acknowledgement, up to the connection's answer timeout.
    pub async fn acknowledged(self) -> Result<Ack, PublishError> {
        match self.0.await {
            Ok(ack) => Ok(Ack { stream_seq: ack.sequence, duplicate: ack.duplicate }),
            Err(error) => Err(publish_error(&error)),
        }
    }
}

impl Broker {
    /// Hands a message to the connection, which sends messages in the order in which it gets them. It waits only while
    /// the connection's send queue is full, up to the answer timeout.
    ///
    /// # Errors
    /// [`PublishError::Unreachable`] at once if the connection is down; [`PublishError::TooLarge`] if no retry can
    /// succeed.
    pub async fn publish(&self, message: EventMessage) -> Result<Sent, PublishError> {
        // The client would buffer the message instead.
        if !self.is_connected() {
            return Err(PublishError::Unreachable("not connected".to_owned()));
        }
        let EventMessage { subject, headers, body } = message;
        let message = PublishMessage::build().payload(body).headers(headers);
        self.jetstream.send_publish(subject, message).await.map(Sent).map_err(|error| publish_error(&error))
    }
}

fn publish_error(error: &ClientError) -> PublishError {
    match error.kind() {
        PublishErrorKind::StreamNotFound => PublishError::NoStream,
        PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge,
        PublishErrorKind::MaxAckPending => {
            PublishError::Unreachable("too many messages without an acknowledgement".to_owned())
        }
        kind => match error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>()) {
            Some(refusal) => match refusal.error_code() {
                // The first copy is still being stored. It may fail, so this is not a success.
                ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT => PublishError::InProcess,
                ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => PublishError::TooLarge,
                code => PublishError::Refused { code: code.0, description: refusal.to_string() },
            },
            None => PublishError::Unreachable(kind.to_string()),
        },
    }
}
