//! Hints: committed events, offered to the relay of their partition over core NATS (PROTOCOL, Relay, rule 3).
//!
//! A hint saves a look into the outbox and is worth nothing else: it may be lost, doubled or forged. It carries the event as
//! a message does, without what is for eyes, and the id of its outbox row.

use async_nats::Subscriber;
use futures::{FutureExt, StreamExt};
use sealbus_core::event::Record;

use crate::message::{bare, decode};
use crate::{Broker, BrokerError, DecodeError};

const OUTBOX_ID: &str = "sealbus-outbox";

/// A hint as it came, not read yet, so that one who is too busy for it can drop it cheaply.
#[derive(Debug)]
pub struct Hint(async_nats::Message);

impl Hint {
    /// The outbox row that it names, and the event. Nothing of it has been checked but its form.
    pub fn read(&self) -> Result<(i64, Record), DecodeError> {
        let id = self
            .0
            .headers
            .as_ref()
            .and_then(|headers| headers.get(OUTBOX_ID))
            .ok_or(DecodeError::Missing(OUTBOX_ID))?;
        let id = id.as_str().parse().map_err(|_| DecodeError::Malformed(OUTBOX_ID))?;
        Ok((id, decode(self.0.headers.as_ref(), &self.0.payload)?))
    }
}

/// The hints of a partition. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Hints(Subscriber);

impl Hints {
    /// The next one; none are kept while the connection is away. `None` once the connection has been closed for good.
    pub async fn next(&mut self) -> Option<Hint> {
        self.0.next().await.map(Hint)
    }
}

impl Broker {
    /// Offers an event to its partition's relay. It never waits: with no connection, or one that is slow, the hint is lost.
    pub fn hint(&self, partition: u32, outbox_id: i64, record: &Record) {
        if !self.is_connected() {
            return;
        }
        // A record that is no message will be met, and reported, by the relay's sweep.
        let Ok(mut message) = bare(record) else { return };
        message.headers.insert(OUTBOX_ID, outbox_id.to_string());
        let sending = self.client.publish_with_headers(format!("hint.{partition}"), message.headers, message.body);
        // Polled once: either the connection's queue has room, or the hint is dropped.
        let _ = sending.now_or_never();
    }

    /// Listens to the hints of a partition, on this and each later connection.
    pub async fn hints(&self, partition: u32) -> Result<Hints, BrokerError> {
        let subscriber = self.client.subscribe(format!("hint.{partition}")).await;
        subscriber.map(Hints).map_err(|error| BrokerError::Away(error.into()))
    }
}
