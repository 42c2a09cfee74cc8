//! Copies of dead letters, for people: the truth about them is the ledger's positions.

use async_nats::header::NATS_MESSAGE_ID;
use sealbus_core::event::Record;
use sealbus_core::names::Subscription;

use crate::attributes::{self, percent_encoded};
use crate::message::bare;
use crate::publish::Ack;
use crate::{Broker, PublishError};

/// How much of an error's text a copy shows, in bytes.
const MAX_ERROR: usize = 1_024;

/// An event that a subscription could not apply.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// Whose it is.
    pub subscription: &'a Subscription,
    /// The event.
    pub record: &'a Record,
    /// What the last attempt said.
    pub error: &'a str,
    /// How many attempts there were.
    pub attempts: u32,
}

impl Broker {
    /// Puts a copy into `SEALBUS_DEAD_LETTERS`, on `dlq.<subscription>.<tenant>.<type>`: the event's message, with headers
    /// that say whose dead letter it is and why. Waits for the acknowledgement.
    pub async fn copy_dead_letter(&self, letter: DeadLetter<'_>) -> Result<Ack, PublishError> {
        let DeadLetter { subscription, record, error, attempts } = letter;
        let header = &record.header;
        let mut message = bare(record)?;
        message.subject = format!("dlq.{subscription}.{}.{}", header.tenant, header.event_type);
        attributes::write(record, &mut message.headers);
        let error = &error[..error.floor_char_boundary(MAX_ERROR)];
        let attempts = attempts.to_string();
        for (name, value) in [
            ("sealbus-subscription", subscription.as_str()),
            ("sealbus-plan", &header.plan),
            ("sealbus-seq", &header.seq.to_string()),
            ("sealbus-attempts", &attempts),
            ("sealbus-error", error),
        ] {
            message.headers.insert(name, percent_encoded(value));
        }
        message.headers.insert(NATS_MESSAGE_ID, format!("{}.{subscription}.{attempts}", record.event_hash));
        self.publish(message).await?.acknowledged().await
    }
}
