//! Receipts: a publisher's evidence that Sealbus has accepted an event (docs/spec/interface.md#publish-wait).

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::event::Event;
use crate::publish::{Expect, NewEvent, post};

/// The longest time for which the service can be configured to wait for the seal of an event.
const MAX_SEALED_WAIT: Duration = Duration::from_mins(5);

/// The record of an event with its seal and, once it is sealed, the proof that the log contains it. The text is that of
/// a file for `sealbus verify --receipt`, which verifies it. The client does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt(String);

/// An event that is committed and signed, with its receipt.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedSealed {
    /// The stored event. It has a log index if it is sealed.
    pub event: Event,
    /// Whether this call stored it. Otherwise an event with the same id and content had been stored before.
    pub new: bool,
    /// Whether the event is sealed, so that the receipt contains its proof. If it was not sealed in time, it is stored
    /// nevertheless, and [`Client::receipt`] returns the proof later.
    pub sealed: bool,
    /// The receipt.
    pub receipt: Receipt,
}

impl Receipt {
    /// The text: JSON without a line break.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Client {
    /// Publishes an event like [`Client::publish_expecting`], and waits until it is sealed.
    ///
    /// `timeout` limits the wait. The service refuses one that is longer than its `SEALBUS_SEALED_WAIT` (10 s by
    /// default), which it uses itself for `None`.
    pub async fn publish_sealed(
        &self,
        plan: &str,
        event: &NewEvent,
        expect: Expect,
        timeout: Option<Duration>,
    ) -> Result<PublishedSealed, ClientError> {
        #[derive(Deserialize)]
        struct Body {
            sealed: bool,
            receipt: Box<RawValue>,
        }
        let call = post(plan, event, expect)?.query("wait", Some("sealed"));
        let call = call.query("timeout", timeout.map(|timeout| format!("{}ms", timeout.as_millis())));
        let response = self.send(&call.extra_time(timeout.unwrap_or(MAX_SEALED_WAIT))).await?;
        let Body { sealed, receipt } = response.json()?;
        let (event, receipt) = (response.json()?, Receipt(receipt.get().to_owned()));
        Ok(PublishedSealed { event, new: response.created(), sealed, receipt })
    }

    /// Reads the receipt of an event by its UUID. It contains the proof if the event is sealed. Returns `None` if the
    /// tenant has no such event.
    pub async fn receipt(&self, id: Uuid) -> Result<Option<Receipt>, ClientError> {
        let response = self.send(&Call::get(["v1", "events", &id.to_string(), "receipt"])).await;
        let response = ClientError::none_if_not_found(response)?;
        response.map(|response| Ok(Receipt(response.text()?))).transpose()
    }
}
