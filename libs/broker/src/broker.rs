//! The connection to the broker.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use sealbus_core::timestamp::Timestamp;
use tokio::sync::watch;

use crate::server::{self, Version};
use crate::topology::{EVENTS, stream_error};
use crate::{BrokerError, PublishError};

/// The largest number of messages without an acknowledgement. Only a caller without a limit of its own reaches it, and
/// gets an error: if the client waited for an acknowledgement instead, that wait would have no timeout.
const MAX_OUTSTANDING_ACKS: usize = 65_536;
/// The number of messages that are buffered for a subscriber. Further ones are dropped.
const SUBSCRIBER_BUFFER: usize = 1_024;
/// The interval of pings by which a dead connection is detected.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long `JetStream` may take to answer, unless the configuration says otherwise.
const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before the first attempt to reconnect. It doubles with each attempt.
const MIN_RECONNECT_DELAY_MS: u64 = 20;
/// The longest pause between two attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(2);

/// The address of the broker, and the name of this client.
#[derive(Clone)]
pub struct BrokerConfig {
    /// One or more URLs `nats://…`, comma-separated. They may contain a password, so this type does not implement
    /// `Debug`.
    pub url: String,
    /// The name of this process, as `nats server report connections` shows it.
    pub name: String,
    /// How long to wait for an acknowledgement or another answer of `JetStream`.
    pub answer_timeout: Duration,
}

impl BrokerConfig {
    /// Returns a configuration with an answer timeout of 5 s.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self { url: url.into(), name: name.into(), answer_timeout: DEFAULT_ANSWER_TIMEOUT }
    }
}

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
    pub(crate) version: Version,
    connection: Arc<watch::Sender<Connection>>,
}

/// The contents of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// When the stream was created. It distinguishes a stream from a deleted one of the same name.
    pub created: Timestamp,
    /// The number of messages.
    pub messages: u64,
    /// The stream sequence of the oldest message.
    pub first_seq: u64,
    /// The stream sequence of the newest message, even if that has been deleted.
    pub last_seq: u64,
}

impl Broker {
    /// Connects, and checks that the server meets the requirements of Sealbus. Afterwards a lost connection is
    /// established again in the background; [`Broker::connection`] reports its state.
    ///
    /// # Errors
    /// [`BrokerError::Address`], [`BrokerError::Unreachable`] or [`BrokerError::Forbidden`] if there is no connection;
    /// [`BrokerError::Version`] or [`BrokerError::MaxPayload`] if the server does not meet the requirements.
    pub async fn connect(config: BrokerConfig) -> Result<Self, BrokerError> {
        let addresses =
            config.url.split(',').map(|url| url.trim().parse::<ServerAddr>()).collect::<Result<Vec<_>, _>>();
        let addresses = addresses.map_err(|error| BrokerError::Address(error.into()))?;
        let connection = Arc::new(watch::Sender::new(Connection { number: 1, up: true }));
        let observed = Arc::clone(&connection);
        // The client does not read credentials from URLs. A user name without a password is a token.
        let credentials = addresses.iter().find_map(|address| Some((address.username()?, address.password())));
        let options = match credentials {
            Some((user, Some(password))) => {
                ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
            }
            Some((token, None)) => ConnectOptions::with_token(token.to_owned()),
            None => ConnectOptions::new(),
        };
        let client = options
            .name(&config.name)
            .ping_interval(PING_INTERVAL)
            .request_timeout(Some(config.answer_timeout))
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
        let version = server::check(&client.server_info())?;
        let jetstream = ContextBuilder::new()
            .timeout(config.answer_timeout)
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
        let stream = self.jetstream.get_stream(EVENTS).await.map_err(|error| stream_error(EVENTS, error))?;
        let info = stream.cached_info();
        Ok(StreamState {
            created: Timestamp::from_offset(info.created),
            messages: info.state.messages,
            first_seq: info.state.first_sequence,
            last_seq: info.state.last_sequence,
        })
    }

    /// Writes everything that was handed to the client to the connection, and closes it.
    pub async fn close(&self) {
        // This fails only if there is no connection to close.
        let _ = self.client.drain().await;
    }

    /// Returns an error if the connection is down. The client would buffer the message instead.
    pub(crate) fn check_connected(&self) -> Result<(), PublishError> {
        if self.is_connected() { Ok(()) } else { Err(PublishError::Unreachable("not connected".to_owned())) }
    }
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
