//! The connection to the broker.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerInfo};
use sealbus_core::timestamp::Timestamp;
use tokio::sync::watch;

use crate::BrokerError;
use crate::topology::EVENTS;

/// The largest number of messages without an acknowledgement. Only a caller without a limit of its own reaches it, and
/// gets an error: if the client waited for an acknowledgement instead, that wait would have no timeout.
const MAX_OUTSTANDING_ACKS: usize = 65_536;
/// The number of messages that are buffered for a subscriber. Further ones are dropped.
const SUBSCRIBER_BUFFER: usize = 1_024;
/// The pings within the timeout. The client gives a connection up when the third one in a row is due without an answer.
const PINGS_PER_TIMEOUT: u32 = 3;
/// The pause before the first attempt to reconnect. It doubles with each attempt.
const MIN_RECONNECT_DELAY_MS: u64 = 20;
/// The longest pause between two attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(2);
/// The oldest supported nats-server (major, minor). Version 2.9 has no metadata of streams and consumers, and no
/// consumer pause.
pub(crate) const MIN_VERSION: (u32, u32) = (2, 10);
/// The smallest `max_payload`, in bytes. The largest message is data of 256 KiB in an envelope, metadata, header and
/// seal.
pub(crate) const MIN_MAX_PAYLOAD: usize = 512 * 1024;

/// The state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Counts connections from 1. A message that was sent on an earlier connection may be lost.
    pub number: u64,
    /// Whether the connection is up.
    pub up: bool,
}

/// A client of the broker. Clones share its connection. A connection that breaks is established again, without a limit
/// of attempts.
#[derive(Clone)]
pub struct Broker {
    pub(crate) client: Client,
    pub(crate) jetstream: Context,
    /// The version of the server (major, minor).
    pub(crate) version: (u32, u32),
    connection: Arc<watch::Sender<Connection>>,
}

/// The contents of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// When the stream was created. It distinguishes a stream from a deleted one of the same name.
    pub created: Timestamp,
    /// The number of messages.
    pub messages: u64,
    /// The stream sequence of the newest message, even if that has been deleted.
    pub last_seq: u64,
}

impl Broker {
    /// Connects to one of the comma-separated URLs `nats://…` as a client of this name, and checks that the server
    /// meets the requirements of Sealbus (docs/spec/protocol.md#jetstream-server). Afterwards a lost connection is
    /// established again in the background; [`Broker::connection`] reports its state.
    ///
    /// JetStream has to answer a request within `timeout`. A connection on which nothing is answered counts as lost after about
    /// the same time.
    ///
    /// # Errors
    /// [`BrokerError::Address`], [`BrokerError::Unreachable`] or [`BrokerError::Forbidden`] if there is no connection;
    /// [`BrokerError::Version`] or [`BrokerError::MaxPayload`] if the server does not meet the requirements.
    pub async fn connect(urls: &str, name: &str, timeout: Duration) -> Result<Self, BrokerError> {
        let addresses = urls.split(',').map(|url| url.trim().parse()).collect::<Result<Vec<ServerAddr>, _>>();
        let addresses = addresses.map_err(|error| BrokerError::Address(error.into()))?;
        let connection = Arc::new(watch::Sender::new(Connection { number: 1, up: true }));
        let observed = Arc::clone(&connection);
        // The client does not read credentials from URLs. A user name without a password is a token.
        let options = match addresses.iter().find_map(|address| Some((address.username()?, address.password()))) {
            Some((user, Some(password))) => {
                ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
            }
            Some((token, None)) => ConnectOptions::with_token(token.to_owned()),
            None => ConnectOptions::new(),
        };
        let client = options
            .name(name)
            .ping_interval(timeout / PINGS_PER_TIMEOUT)
            .connection_timeout(timeout)
            .request_timeout(Some(timeout))
            .subscription_capacity(SUBSCRIBER_BUFFER)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(MIN_RECONNECT_DELAY_MS << attempts.min(7)).min(MAX_RECONNECT_DELAY)
            })
            .event_callback(move |event| {
                on_event(&observed, &event);
                std::future::ready(())
            })
            .connect(addresses)
            .await
            .map_err(connect_error)?;
        let version = check_server(&client.server_info())?;
        let jetstream = ContextBuilder::new()
            .timeout(timeout)
            .max_ack_inflight(MAX_OUTSTANDING_ACKS)
            .backpressure_on_inflight(false)
            .build(client.clone());
        Ok(Self { client, jetstream, version, connection })
    }

    /// Returns whether the connection is up at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Returns a receiver of the connection's state and of each change.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.subscribe()
    }

    /// Reads the state of the stream `SEALBUS_EVENTS`.
    pub async fn events_state(&self) -> Result<StreamState, BrokerError> {
        let stream = self.stream(EVENTS).await?;
        let info = stream.cached_info();
        Ok(StreamState {
            created: Timestamp::from_offset(info.created),
            messages: info.state.messages,
            last_seq: info.state.last_sequence,
        })
    }

    /// Writes everything that was handed to the client to the connection, and closes it.
    pub async fn close(&self) {
        // This fails only if there is no connection to close.
        let _ = self.client.drain().await;
    }
}

/// Returns the version of a server that meets the requirements.
fn check_server(info: &ServerInfo) -> Result<(u32, u32), BrokerError> {
    let mut numbers = info.version.trim_start_matches('v').split('.').map(|number| number.parse().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten()).filter(|version| *version >= MIN_VERSION);
    let version = version.ok_or_else(|| BrokerError::Version { found: info.version.clone() })?;
    if info.max_payload < MIN_MAX_PAYLOAD {
        return Err(BrokerError::MaxPayload { found: info.max_payload });
    }
    // JetStream is not checked here: a server without it may be a leaf node of a cluster that has it.
    Ok(version)
}

fn connect_error(error: ConnectError) -> BrokerError {
    match error.kind() {
        ConnectErrorKind::ServerParse => BrokerError::Address(error.into()),
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            BrokerError::Forbidden(error.into())
        }
        _ => BrokerError::Unreachable(error.into()),
    }
}

/// Records and logs an event of the connection.
fn on_event(connection: &watch::Sender<Connection>, event: &Event) {
    match event {
        Event::Connected => connection.send_modify(|now| *now = Connection { number: now.number + 1, up: true }),
        Event::Disconnected => {
            tracing::warn!("broker connection lost; reconnecting");
            connection.send_modify(|now| now.up = false);
        }
        Event::SlowConsumer(_) => tracing::warn!("a subscriber is too slow; messages were dropped"),
        other => tracing::info!(event = %other, "broker connection event"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, max_payload: usize) -> ServerInfo {
        ServerInfo { version: version.to_owned(), max_payload, ..ServerInfo::default() }
    }

    #[test]
    fn a_server_before_2_10_is_refused() {
        for version in ["2.10.0", "2.12.0-RC.1", "v2.15.2", "3.0.0"] {
            assert!(check_server(&server(version, 1 << 20)).is_ok(), "{version}");
        }
        for version in ["2.9.10", "1.4.1", "", "two"] {
            let error = check_server(&server(version, 1 << 20)).expect_err(version);
            assert_eq!(error.to_string(), format!("the broker is nats-server {version}; Sealbus needs 2.10 or later"));
        }
    }

    #[test]
    fn a_max_payload_below_512_kib_is_refused() {
        assert!(check_server(&server("2.12.1", 512 * 1024)).is_ok());
        let error = check_server(&server("2.12.1", 512 * 1024 - 1)).expect_err("too small");
        assert!(error.to_string().contains("524287 bytes; Sealbus needs 524288: set max_payload"), "{error}");
    }
}
