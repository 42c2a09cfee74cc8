//! Publishing to a stream, pipelined: sending and being acknowledged are two steps.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError as ClientError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;

use crate::{Broker, EventMessage, PublishError};

/// A message's place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Where it stands, or where the one that it repeats does.
    pub stream_seq: u64,
    /// Whether the stream held it already, sent within the duplicate window.
    pub duplicate: bool,
}

/// A message that was handed to the connection.
///
/// Its acknowledgement has to be awaited by a task that does nothing else, or nothing that waits for other sends: the
/// client keeps a place for each message whose acknowledgement nobody has taken.
#[must_use = "nothing is known about the message until its acknowledgement was awaited"]
pub struct Sent(PublishAckFuture);

impl Sent {
    /// Waits for the acknowledgement, as long as the connection's answer timeout.
    pub async fn acknowledged(self) -> Result<Ack, PublishError> {
        match self.0.await {
            Ok(ack) => Ok(Ack { stream_seq: ack.sequence, duplicate: ack.duplicate }),
            Err(error) => Err(publish_error(&error)),
        }
    }
}

impl Broker {
    /// Hands a message to the connection, behind all that was handed to it before. Waits only while the connection's own
    /// queue is full, and no longer than the answer timeout.
    ///
    /// # Errors
    /// [`PublishError::Away`] at once where there is no connection, [`PublishError::TooLarge`] for what no retry will help.
    pub async fn publish(&self, message: EventMessage) -> Result<Sent, PublishError> {
        self.check_connected()?;
        let EventMessage { subject, headers, body } = message;
        let message = PublishMessage::build().payload(body).headers(headers);
        self.jetstream.send_publish(subject, message).await.map(Sent).map_err(|error| publish_error(&error))
    }
}

pub(crate) fn publish_error(error: &ClientError) -> PublishError {
    use std::error::Error as _;
    match error.kind() {
        PublishErrorKind::StreamNotFound => PublishError::NoStream,
        PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge,
        PublishErrorKind::MaxAckPending => {
            PublishError::Away("too many messages without an acknowledgement".to_owned())
        }
        kind => match error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>()) {
            Some(refusal) => match refusal.error_code() {
                // Sent twice at once: the first copy's outcome is open, so this is no success.
                ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT => PublishError::InProcess,
                ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => PublishError::TooLarge,
                code => PublishError::Refused { code: code.0, description: refusal.to_string() },
            },
            None => PublishError::Away(kind.to_string()),
        },
    }
}
