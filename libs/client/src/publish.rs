//! Publishing (docs/spec/interface.md#publish), and receipts: a publisher's evidence that Sealbus has accepted an event
//! (docs/spec/interface.md#publish-wait).

use std::time::Duration;

use reqwest::header::{HeaderValue, IF_MATCH, IF_NONE_MATCH};
use sealbus_core::event::Priority;
use sealbus_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::call::Call;
use crate::{Client, ClientError, Event};

/// The longest time for which the service can be configured to wait for the seal of an event.
const MAX_SEALED_WAIT: Duration = Duration::from_mins(5);

/// An event to publish. It has an id from its creation, so that publishing it twice stores it once.
///
/// Optional members that are `None` are not sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewEvent {
    /// A UUID, or any text of up to 1,024 bytes that is unique for tenant and source.
    pub id: String,
    /// The event type, as the catalog names it.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The data, which must conform to the schema of the type.
    pub data: Value,
    /// The version of the schema. The service's default is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The producer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The person or service that acted. The service's default is the name of the token; any other needs the scope
    /// `actor.any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The producer's time. The service's default is the time at which the event is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// An id that related events share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The id of the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// The priority. The service's default is normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The time after which delivering the event is of no use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_by: Option<Timestamp>,
    /// The producer's metadata. The member `sealbus` is reserved.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl NewEvent {
    /// Returns an event with type and data, a new `UUIDv7` as id, and no optional members.
    pub fn new(event_type: impl Into<String>, data: Value) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            event_type: event_type.into(),
            data,
            version: None,
            source: None,
            actor: None,
            occurred_at: None,
            correlation_id: None,
            causation_id: None,
            priority: None,
            deliver_by: None,
            metadata: Map::new(),
        }
    }
}

/// The expected head of a plan. If the plan has another one, nothing is stored and the error is `head_mismatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any head is accepted.
    Any,
    /// The plan has no events.
    Empty,
    /// The last event of the plan has this seq.
    Head(u64),
}

/// An event that is committed and signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The stored event.
    pub event: Event,
    /// Whether this call stored it. Otherwise an event with the same id and content had been stored before.
    pub new: bool,
}

/// Events of one plan that are committed and signed.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedBatch {
    /// The stored events, in the order of the request.
    pub events: Vec<Event>,
    /// Whether this call stored at least one of them.
    pub new: bool,
}

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
    /// The receipt, as [`Client::receipt`] returns it.
    pub receipt: String,
}

impl Client {
    /// Publishes an event as the next one of its plan. It is committed and signed when this returns.
    pub async fn publish(&self, plan: &str, event: &NewEvent) -> Result<Published, ClientError> {
        self.publish_expecting(plan, event, Expect::Any).await
    }

    /// Publishes an event if the plan has the expected head.
    pub async fn publish_expecting(
        &self,
        plan: &str,
        event: &NewEvent,
        expect: Expect,
    ) -> Result<Published, ClientError> {
        let response = self.send(&post(plan, event, expect)?).await?;
        Ok(Published { event: response.json()?, new: response.created() })
    }

    /// Publishes 1 to 1,000 events of one plan atomically, if the plan has the expected head. Events that are stored
    /// already are not stored again.
    pub async fn publish_batch(
        &self,
        plan: &str,
        events: &[NewEvent],
        expect: Expect,
    ) -> Result<PublishedBatch, ClientError> {
        #[derive(Deserialize)]
        struct Body {
            events: Vec<Event>,
        }
        let response = self.send(&post(plan, events, expect)?).await?;
        Ok(PublishedBatch { events: response.json::<Body>()?.events, new: response.created() })
    }

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
        let timeout_text = timeout.map(|timeout| format!("{}ms", timeout.as_millis()));
        let mut call = post(plan, event, expect)?.query("wait", Some("sealed")).query("timeout", timeout_text);
        call.extra_time = timeout.unwrap_or(MAX_SEALED_WAIT);
        let response = self.send(&call).await?;
        let Body { sealed, receipt } = response.json()?;
        let (event, receipt) = (response.json()?, receipt.get().to_owned());
        Ok(PublishedSealed { event, new: response.created(), sealed, receipt })
    }

    /// Reads the receipt of an event by its UUID. Returns `None` if the tenant has no such event.
    ///
    /// A receipt is the record of an event with its seal and, once it is sealed, the proof that the log contains it. The
    /// text is that of a file for `sealbus verify --receipt`, which verifies it. The client does not.
    pub async fn receipt(&self, id: Uuid) -> Result<Option<String>, ClientError> {
        let response = self.send(&Call::get(["v1", "events", &id.to_string(), "receipt"])).await;
        ClientError::none_if_not_found(response)?.map(|response| response.text()).transpose()
    }
}

/// Returns the request that publishes `body`, an event or a list of events, to a plan.
fn post<'a>(plan: &'a str, body: &(impl Serialize + ?Sized), expect: Expect) -> Result<Call<'a>, ClientError> {
    let call = Call::post(["v1", "plans", plan, "events"], "application/json", body)?.affinity(plan);
    Ok(match expect {
        Expect::Any => call,
        Expect::Empty => call.header(IF_NONE_MATCH, HeaderValue::from_static("*")),
        Expect::Head(seq) => {
            let seq = format!("\"{seq}\"").try_into().expect("digits and quotes are valid in a header");
            call.header(IF_MATCH, seq)
        }
    })
}
