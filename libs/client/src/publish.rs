//! Publishing.

use reqwest::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use sealbus_core::event::Priority;
use sealbus_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::client::Client;
use crate::error::ClientError;
use crate::event::Event;
use crate::transport::Call;

/// An event to be published. It has its id from the start, so that publishing it twice stores it once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewEvent {
    /// A UUID, or any text of up to 1,024 bytes that is unique for tenant and source.
    pub id: String,
    /// What happened, by its name in the catalog.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What its type's schema asks for; null for nothing.
    pub data: Value,
    /// The version of the schema; none is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// What produced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who did it; none is the token's own name. Another needs the scope `actor.any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When it happened; none is when it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// What it belongs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// How urgent it is; none is normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// When it is of no more use to anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_by: Option<Timestamp>,
    /// The producer's own context; `sealbus` in it is reserved.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl NewEvent {
    /// An event with an id of its own (`UUIDv7`) and nothing but type and data.
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

/// What a call expects of its plan; otherwise it is refused with `head_mismatch`, and nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// That it holds no event.
    Empty,
    /// That its last event has this seq.
    Head(u64),
}

impl Expect {
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Any => None,
            Self::Empty => Some((IF_NONE_MATCH, HeaderValue::from_static("*"))),
            Self::Head(seq) => {
                let value =
                    HeaderValue::from_str(&format!("\"{seq}\"")).expect("digits and quotes are a header's text");
                Some((IF_MATCH, value))
            }
        }
    }
}

/// An event that is stored, committed and signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The record.
    pub event: Event,
    /// Whether this call stored it; otherwise it was there already with the same content.
    pub new: bool,
}

/// The events of an array that are stored, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedBatch {
    /// The records.
    pub events: Vec<Event>,
    /// Whether this call stored any of them.
    pub new: bool,
}

impl Client {
    /// Publishes an event. It is stored, next in its plan, when this returns.
    pub async fn publish(&self, plan: &str, event: &NewEvent) -> Result<Published, ClientError> {
        self.publish_expecting(plan, event, Expect::Any).await
    }

    /// Publishes an event if the plan stands where the caller thinks.
    pub async fn publish_expecting(
        &self,
        plan: &str,
        event: &NewEvent,
        expect: Expect,
    ) -> Result<Published, ClientError> {
        let answer = self.answer(&post(plan, event, expect)?).await?;
        Ok(Published { event: answer.json()?, new: answer.status == 201 })
    }

    /// Publishes 1 to 1,000 events of one plan, all of them or none. Those that are stored already are passed over.
    pub async fn publish_batch(&self, plan: &str, events: &[NewEvent]) -> Result<PublishedBatch, ClientError> {
        self.publish_batch_expecting(plan, events, Expect::Any).await
    }

    /// Publishes 1 to 1,000 events of one plan, all of them or none, if the plan stands where the caller thinks.
    pub async fn publish_batch_expecting(
        &self,
        plan: &str,
        events: &[NewEvent],
        expect: Expect,
    ) -> Result<PublishedBatch, ClientError> {
        #[derive(Deserialize)]
        struct Stored {
            events: Vec<Event>,
        }
        let answer = self.answer(&post(plan, events, expect)?).await?;
        Ok(PublishedBatch { events: answer.json::<Stored>()?.events, new: answer.status == 201 })
    }
}

pub(crate) fn post<'a>(
    plan: &'a str,
    body: &(impl Serialize + ?Sized),
    expect: Expect,
) -> Result<Call<'a>, ClientError> {
    let body = encode(body)?;
    let call = Call::post(["v1", "plans", plan, "events"], "application/json", body).affinity(plan);
    Ok(match expect.header() {
        Some((name, value)) => call.header(name, value),
        None => call,
    })
}

pub(crate) fn encode(body: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body)
        .map_err(|error| ClientError::Usage(format!("the events cannot be written as JSON: {error}")))
}
