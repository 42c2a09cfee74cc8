//! Errors of the broker.

use std::error::Error;

use crate::broker::{MIN_MAX_PAYLOAD, MIN_VERSION};
use crate::message::EncodeError;

/// An error of the client library.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// The reason why the broker cannot be used, or why a request to it failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The configured URL is not valid.
    #[error("the broker's URL is not valid")]
    Address(#[source] Cause),
    /// No connection could be established.
    #[error("the broker is unreachable")]
    Unreachable(#[source] Cause),
    /// The server refused the credentials.
    #[error("the broker refused the credentials")]
    Forbidden(#[source] Cause),
    /// The server is too old.
    #[error("the broker is nats-server {found}; Sealbus needs {}.{} or later", MIN_VERSION.0, MIN_VERSION.1)]
    Version {
        /// The version that the server reports.
        found: String,
    },
    /// The server does not accept messages of the size that Sealbus needs.
    #[error(
        "the broker accepts messages of up to {found} bytes; Sealbus needs {MIN_MAX_PAYLOAD}: set max_payload in its configuration"
    )]
    MaxPayload {
        /// The server's limit in bytes.
        found: usize,
    },
    /// JetStream is not enabled on the server or for the account, or it is still starting.
    #[error(
        "the broker has no JetStream, or is still starting it: nats-server needs `-js`, and the account must have it"
    )]
    NoJetStream,
    /// JetStream refused a request.
    #[error("JetStream refused {request}: {description}")]
    Refused {
        /// The object of the request, such as `stream SEALBUS_EVENTS`.
        request: String,
        /// JetStream's description of the error.
        description: String,
    },
    /// A request failed, and its outcome is unknown.
    #[error("JetStream did not answer the request for {request}")]
    Unanswered {
        /// The object of the request, such as `stream SEALBUS_EVENTS`.
        request: String,
        /// The error of the client library.
        #[source]
        cause: Cause,
    },
}

impl BrokerError {
    /// Returns whether the same call may succeed later without any change to the configuration.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NoJetStream | Self::Unanswered { .. })
    }
}

/// The reason why a message was not acknowledged by the stream.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection, it broke, or no acknowledgement came in time. The stream may have stored the message.
    #[error("no acknowledgement from the broker: {0}")]
    Unreachable(String),
    /// No stream has the message's subject: it was deleted, or JetStream is still starting.
    #[error("no stream has the subject")]
    NoStream,
    /// The stream refused the message, for example because it is full or the server is out of resources.
    #[error("the stream refused the message: {description}")]
    Refused {
        /// JetStream's error code, which `nats errors lookup` explains.
        code: u64,
        /// JetStream's description of the error.
        description: String,
    },
    /// An earlier copy of the message is being stored. It is not known yet whether that will succeed.
    #[error("an earlier copy of the message is still being stored")]
    InProcess,
    /// The message exceeds the server's limit. No retry will succeed.
    #[error("the message is too large for the broker")]
    TooLarge,
    /// The record cannot be encoded as a message.
    #[error("the event cannot be encoded as a message")]
    Encode(#[from] EncodeError),
}
