//! A connection to the broker.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectErrorKind as Kind, ConnectOptions, Event, ServerAddr};
use sealbus_core::timestamp::Timestamp;
use tokio::sync::watch;

use crate::server::{self, Version};
use crate::topology::EVENTS;
use crate::{BrokerError, PublishError};

/// Acks that may be outstanding at once. Reached only by a caller that bounds nothing itself, who is refused then: the
/// client's own wait for a free place has no timeout.
const MAX_OUTSTANDING: usize = 65_536;
/// Messages that wait in memory for a subscriber before the client throws the newest away.
const SUBSCRIBER_BUFFER: usize = 1_024;

/// How to reach the broker.
#[derive(Clone)]
pub struct BrokerConfig {
    /// One or more `nats://…` between commas; may hold a password, so this type has no `Debug`.
    pub url: String,
    /// What operators see of this process in `nats server report connections`.
    pub name: String,
    /// How long an acknowledgement or another answer of `JetStream` is waited for.
    pub answer_timeout: Duration,
}

impl BrokerConfig {
    /// The settings of a role, for an address.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self { url: url.into(), name: name.into(), answer_timeout: Duration::from_secs(5) }
    }
}

/// Which connection there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Counts connections from 1: what was sent on another one may be lost.
    pub number: u64,
    /// Whether it stands.
    pub up: bool,
}

/// The broker. Cloning shares the connection, which is made again for ever when it breaks.
#[derive(Clone)]
pub struct Broker {
    pub(crate) client: Client,
    pub(crate) jetstream: Context,
    pub(crate) version: Version,
    connection: Arc<watch::Sender<Connection>>,
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// When it was created: one of the same name made anew is another stream.
    pub created: Timestamp,
    /// Its messages.
    pub messages: u64,
    /// The place of its oldest message.
    pub first_seq: u64,
    /// The place of its newest message, or of the last one that it held.
    pub last_seq: u64,
}

impl Broker {
    /// Connects, and checks that the server can carry Sealbus. After that a lost connection is nobody's error: it comes
    /// back, and [`Broker::connection`] tells.
    ///
    /// # Errors
    /// [`BrokerError::Away`] and [`BrokerError::Forbidden`] where there is no connection, [`BrokerError::Version`] and
    /// [`BrokerError::MaxPayload`] where the server will not do.
    pub async fn connect(config: BrokerConfig) -> Result<Self, BrokerError> {
        let addresses =
            config.url.split(',').map(|url| url.trim().parse::<ServerAddr>()).collect::<Result<Vec<_>, _>>();
        let addresses = addresses.map_err(|error| BrokerError::Address(error.into()))?;
        let connection = Arc::new(watch::Sender::new(Connection { number: 1, up: true }));
        let observed = Arc::clone(&connection);
        // The client takes no credentials from an address itself; a name alone is a token there.
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
            .ping_interval(Duration::from_secs(10))
            .request_timeout(Some(config.answer_timeout))
            .subscription_capacity(SUBSCRIBER_BUFFER)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(20 << attempts.min(7)).min(Duration::from_secs(2))
            })
            .event_callback(move |event| {
                observe(&observed, &event);
                std::future::ready(())
            })
            .connect(addresses)
            .await
            .map_err(|error| match error.kind() {
                Kind::ServerParse => BrokerError::Address(error.into()),
                Kind::Authentication | Kind::AuthorizationViolation => BrokerError::Forbidden(error.into()),
                _ => BrokerError::Away(error.into()),
            })?;
        let version = server::check(&client.server_info())?;
        let jetstream = ContextBuilder::new()
            .timeout(config.answer_timeout)
            .max_ack_inflight(MAX_OUTSTANDING)
            .backpressure_on_inflight(false)
            .build(client.clone());
        Ok(Self { client, jetstream, version, connection })
    }

    /// Whether the connection stands at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Which connection there is, and each change of it.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.subscribe()
    }

    /// What `SEALBUS_EVENTS` holds.
    pub async fn events_state(&self) -> Result<StreamState, BrokerError> {
        let stream =
            self.jetstream.get_stream(EVENTS).await.map_err(|error| crate::topology::stream_error(EVENTS, error))?;
        let info = stream.cached_info();
        Ok(StreamState {
            created: Timestamp::from_offset(info.created),
            messages: info.state.messages,
            first_seq: info.state.first_sequence,
            last_seq: info.state.last_sequence,
        })
    }

    /// Waits until what was handed to the client has been written to the connection, and closes it.
    pub async fn close(&self) {
        // Away: there is nothing to close.
        let _ = self.client.drain().await;
    }

    pub(crate) fn check_connected(&self) -> Result<(), PublishError> {
        if self.is_connected() { Ok(()) } else { Err(PublishError::Away("not connected".to_owned())) }
    }
}

fn observe(connection: &watch::Sender<Connection>, event: &Event) {
    match event {
        Event::Connected => connection.send_modify(|now| *now = Connection { number: now.number + 1, up: true }),
        Event::Disconnected => {
            tracing::warn!("the broker is away");
            connection.send_modify(|now| now.up = false);
        }
        Event::SlowConsumer(_) => tracing::warn!("messages arrived faster than they were taken, and some were dropped"),
        other => tracing::info!(event = %other, "broker"),
    }
}
