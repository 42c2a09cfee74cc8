//! Receipts: what a publisher keeps of an event, to show later that it was promised.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::client::Client;
use crate::error::ClientError;
use crate::event::Event;
use crate::publish::{Expect, NewEvent, post};
use crate::transport::Call;

/// How much longer than other calls one takes that leaves the time to the service.
const LONGEST: Duration = Duration::from_mins(5);

/// An event's record with its seal, and with the proof that the log holds it once it is sealed: the text of a file for
/// `sealbus verify --receipt`. It is what the service says; whether it holds, the verifier finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt(String);

/// An event that is stored, committed and signed, with its receipt.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedSealed {
    /// The record; with its log index if it is sealed.
    pub event: Event,
    /// Whether this call stored it; otherwise it was there already with the same content.
    pub new: bool,
    /// Whether an anchored checkpoint covers it, so that the receipt holds its proof. Where time ran out it does not: the event is
    /// stored all the same, and [`Client::receipt`] gives the proof later.
    pub sealed: bool,
    /// Its receipt.
    pub receipt: Receipt,
}

impl Receipt {
    /// The text, without a line break.
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
    /// Publishes an event as [`Client::publish_expecting`] does, and waits until it is sealed: for as long as `within`, which the
    /// service bounds; `None` leaves it to the service.
    pub async fn publish_sealed(
        &self,
        plan: &str,
        event: &NewEvent,
        expect: Expect,
        within: Option<Duration>,
    ) -> Result<PublishedSealed, ClientError> {
        #[derive(Deserialize)]
        struct Answered {
            sealed: bool,
            receipt: Box<RawValue>,
        }
        let call = post(plan, event, expect)?.query("wait", Some("sealed"));
        let call = call.query("timeout", within.map(|within| format!("{}ms", within.as_millis())));
        let answer = self.answer(&call.longer(within.unwrap_or(LONGEST))).await?;
        let Answered { sealed, receipt } = answer.json()?;
        let (event, receipt) = (answer.json()?, Receipt(receipt.get().to_owned()));
        Ok(PublishedSealed { event, new: answer.status == 201, sealed, receipt })
    }

    /// The receipt of an event, by its UUID, with its proof if it is sealed by now. None where the tenant has no such event.
    pub async fn receipt(&self, id: Uuid) -> Result<Option<Receipt>, ClientError> {
        match self.answer(&Call::get(["v1", "events", &id.to_string(), "receipt"])).await {
            Ok(answer) => Ok(Some(Receipt(answer.text()?))),
            Err(error) if error.code() == Some("not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }
}
