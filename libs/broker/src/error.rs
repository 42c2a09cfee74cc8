//! Why the broker did not do what was asked.

use std::error::Error;

use crate::message::EncodeError;
use crate::server::Version;

/// An error of the client library, kept for the log.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why the broker cannot be used, or refused a request.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address is not one of a NATS server.
    #[error("the broker's address cannot be read")]
    Address(#[source] Cause),
    /// Nothing answers.
    #[error("the broker is away")]
    Away(#[source] Cause),
    /// Something answers and does not let this process in.
    #[error("the broker does not let this process in")]
    Forbidden(#[source] Cause),
    /// The server is older than what Sealbus needs.
    #[error("the broker is nats-server {found}; Sealbus needs {floor} or later")]
    Version {
        /// The server's version, as it says it.
        found: String,
        /// The oldest that will do.
        floor: Version,
    },
    /// The server takes no messages as large as Sealbus' largest.
    #[error("the broker takes messages of {found} bytes; Sealbus needs {floor}: set max_payload in its configuration")]
    MaxPayload {
        /// The server's limit.
        found: usize,
        /// The smallest that will do.
        floor: usize,
    },
    /// The server or the account has no `JetStream`.
    #[error(
        "the broker has no JetStream, or is still starting it: nats-server needs `-js`, and the account must have it"
    )]
    NoJetStream,
    /// `JetStream` refused a request.
    #[error("JetStream refused {what}: {description}")]
    Refused {
        /// What was asked for.
        what: String,
        /// `JetStream`'s own error code, as `nats errors lookup` knows it.
        code: u64,
        /// Its words.
        description: String,
    },
    /// A request failed in a way that says nothing about the outcome.
    #[error("JetStream did not answer to {what}")]
    Unanswered {
        /// What was asked for.
        what: String,
        /// How it failed.
        #[source]
        cause: Cause,
    },
}

impl BrokerError {
    /// Whether asking again later may help, with nobody changing anything.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::NoJetStream | Self::Unanswered { .. })
    }
}

/// Why a message was not acknowledged by the stream.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection, or it broke, or no answer came in time: the stream may hold the message.
    #[error("no acknowledgement from the broker: {0}")]
    Away(String),
    /// No stream takes the message's subject: it was deleted, or `JetStream` is still starting.
    #[error("no stream takes the subject")]
    NoStream,
    /// The stream refused, by `JetStream`'s error code: it is full, or the server is out of resources.
    #[error("the stream refused: {description}")]
    Refused {
        /// `JetStream`'s own error code.
        code: u64,
        /// Its words.
        description: String,
    },
    /// The same message is being stored at this moment, sent earlier: whether that succeeds is not known yet.
    #[error("the same message is being stored, without an outcome so far")]
    InProcess,
    /// The message is larger than the server takes. It will never be stored.
    #[error("the message is too large for the broker")]
    TooLarge,
    /// The event is not as it was sealed, and so cannot be a message.
    #[error("the event cannot be a message")]
    Encode(#[from] EncodeError),
}
