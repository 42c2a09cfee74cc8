//! Hints: committed events that a publisher offers to the relay of their partition over core NATS
//! (docs/spec/protocol.md#jetstream-hints, docs/spec/protocol.md#relay-3).
//!
//! A hint only saves the relay a query of the outbox. It may be lost, duplicated or forged. It has the body and the
//! `sealbus-` headers of the event's message, and the id of its outbox row.

use async_nats::Subscriber;
use futures::{FutureExt, StreamExt};
use sealbus_core::event::Record;

use crate::message::{decode, without_subject};
use crate::{Broker, BrokerError, DecodeError};

const OUTBOX_ID: &str = "sealbus-outbox";

/// A received hint. It is decoded on demand, so that a relay without capacity can drop it cheaply.
#[derive(Debug)]
pub struct Hint(async_nats::Message);

impl Hint {
    /// Decodes the id of the outbox row and the event. Only their form is checked.
    pub fn read(&self) -> Result<(i64, Record), DecodeError> {
        let async_nats::Message { headers, payload, .. } = &self.0;
        let id = headers.as_ref().and_then(|headers| headers.get(OUTBOX_ID)).ok_or(DecodeError::Missing(OUTBOX_ID))?;
        let id = id.as_str().parse().map_err(|_| DecodeError::Malformed(OUTBOX_ID))?;
        Ok((id, decode(headers.as_ref(), payload)?))
    }
}

/// A subscription to the hints of a partition. It ends when this is dropped.
#[derive(Debug)]
pub struct Hints(Subscriber);

impl Hints {
    /// Waits for the next hint. Hints that are sent while the connection is down are lost. Returns `None` once the
    /// connection has been closed.
    pub async fn next(&mut self) -> Option<Hint> {
        self.0.next().await.map(Hint)
    }
}

impl Broker {
    /// Sends a hint about an event to the relay of its partition. It never waits: if the connection is down or its send
    /// queue is full, the hint is dropped.
    pub fn hint(&self, partition: u32, outbox_id: i64, record: &Record) {
        if !self.is_connected() {
            return;
        }
        // The relay reads a record that cannot be encoded from the outbox, and reports it.
        let Ok(mut message) = without_subject(record) else { return };
        message.headers.insert(OUTBOX_ID, outbox_id.to_string());
        let sending = self.client.publish_with_headers(format!("hint.{partition}"), message.headers, message.body);
        // Polled once: either the send queue has room, or the hint is dropped.
        let _ = sending.now_or_never();
    }

    /// Waits until a publisher sends a hint about an event of any partition. Hints from before the call do not count, and one
    /// that is sent while the connection is down is lost. Never returns if the connection cannot subscribe.
    pub async fn any_hint(&self) {
        if let Ok(mut hints) = self.client.subscribe("hint.*").await
            && hints.unsubscribe_after(1).await.is_ok()
            && hints.next().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Subscribes to the hints of a partition. The subscription survives a reconnect.
    pub async fn hints(&self, partition: u32) -> Result<Hints, BrokerError> {
        let subscriber = self.client.subscribe(format!("hint.{partition}")).await;
        subscriber.map(Hints).map_err(|error| BrokerError::Unreachable(error.into()))
    }
}
