//! Copies of dead letters, for people and tools. The positions in the ledger stay authoritative.

use async_nats::header::NATS_MESSAGE_ID;
use sealbus_core::cloudevents::header_value;
use sealbus_core::event::Record;
use sealbus_core::names::Subscription;

use crate::message::without_subject;
use crate::publish::Ack;
use crate::{Broker, PublishError, attributes};

/// The number of bytes of an error's text that a copy shows.
const MAX_ERROR_BYTES: usize = 1_024;

impl Broker {
    /// Publishes a copy to `SEALBUS_DEAD_LETTERS` on `dlq.<subscription>.<tenant>.<type>`, and waits for the
    /// acknowledgement.
    ///
    /// The copy is the message of the event with additional headers for the subscription, the plan, the seq, the number
    /// of attempts and the error of the last one.
    pub async fn copy_dead_letter(
        &self,
        subscription: &Subscription,
        record: &Record,
        attempts: u32,
        error: &str,
    ) -> Result<Ack, PublishError> {
        let header = &record.header;
        let mut message = without_subject(record)?;
        message.subject = format!("dlq.{subscription}.{}.{}", header.tenant, header.event_type);
        attributes::write(record, &mut message.headers);
        let error = &error[..error.floor_char_boundary(MAX_ERROR_BYTES)];
        let attempts = attempts.to_string();
        for (name, value) in [
            ("sealbus-subscription", subscription.as_str()),
            ("sealbus-plan", &header.plan),
            ("sealbus-seq", &header.seq.to_string()),
            ("sealbus-attempts", &attempts),
            ("sealbus-error", error),
        ] {
            message.headers.insert(name, header_value(value));
        }
        message.headers.insert(NATS_MESSAGE_ID, format!("{}.{subscription}.{attempts}", record.event_hash));
        self.publish(message).await?.acknowledged().await
    }
}
