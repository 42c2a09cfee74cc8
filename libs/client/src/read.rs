//! Reading history back.

use futures::stream::{self, Stream, TryStreamExt};
use sealbus_core::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::client::Client;
use crate::error::ClientError;
use crate::event::Event;
use crate::transport::Call;

/// Which events of a plan, and how many at once.
#[derive(Clone, Debug, Default)]
pub struct TrailQuery {
    /// Where to go on: a page's [`next`](Page::next).
    pub after: Option<String>,
    /// The first seq wanted.
    pub from_seq: Option<u64>,
    /// How many a page may hold; the service has its own bound.
    pub limit: Option<u32>,
    /// Only these types: `payment.settled`, or `payment.*`; none for all.
    pub types: Vec<String>,
    /// The last event first.
    pub newest_first: bool,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// How many there are in all that were asked for; of a plan only.
    #[serde(default)]
    pub total: Option<u64>,
    /// Where the next page goes on; none at the end.
    #[serde(default)]
    pub next: Option<String>,
}

/// A plan's last event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Head {
    /// Its place in the plan.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// What the service found when it checked a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Verification {
    /// The plan.
    pub plan: String,
    /// `ok`, or the first finding's verdict.
    pub verdict: String,
    /// The seq of the first finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The same, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// How many events were read.
    pub events: u64,
    /// How many of them have their leaf in the log.
    pub sealed: u64,
    /// All that was found, in order of seq.
    pub findings: Vec<Finding>,
}

/// One thing wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Finding {
    /// Where.
    pub seq: u64,
    /// The same, counted from 0.
    pub index: u64,
    /// What.
    pub verdict: String,
    /// In words.
    pub detail: String,
}

/// A page of plans' names, in order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Plans {
    /// The names.
    pub plans: Vec<String>,
    /// Where the next page goes on; none at the end.
    #[serde(default)]
    pub next: Option<String>,
}

impl Client {
    /// A page of a plan's events.
    pub async fn trail(&self, plan: &str, query: &TrailQuery) -> Result<Page, ClientError> {
        let types = (!query.types.is_empty()).then(|| query.types.join(","));
        let call = Call::get(["v1", "plans", plan, "events"])
            .query("after", query.after.as_deref())
            .query("from_seq", query.from_seq)
            .query("limit", query.limit)
            .query("type", types)
            .query("order", query.newest_first.then_some("desc"));
        self.json(&call.affinity(plan)).await
    }

    /// All of a plan's events that `query` asks for, page by page.
    pub fn whole_trail(&self, plan: &str, query: TrailQuery) -> impl Stream<Item = Result<Event, ClientError>> + use<> {
        let (client, plan) = (self.clone(), plan.to_owned());
        stream::try_unfold(Some(query), move |query| {
            let (client, plan) = (client.clone(), plan.clone());
            async move {
                let Some(query) = query else { return Ok(None) };
                let Page { events, next, .. } = client.trail(&plan, &query).await?;
                let next = next.map(|next| TrailQuery { after: Some(next), ..query });
                Ok(Some((stream::iter(events.into_iter().map(Ok)), next)))
            }
        })
        .try_flatten()
    }

    /// A page of the log: the sealed events from `from_index` on, in log order.
    pub async fn log(&self, from_index: u64, limit: Option<u32>) -> Result<Page, ClientError> {
        self.json(&Call::get(["v1", "events"]).query("from_index", Some(from_index)).query("limit", limit)).await
    }

    /// All sealed events from `from_index` on, in log order, page by page, to where the log stands when it is reached.
    pub fn whole_log(&self, from_index: u64) -> impl Stream<Item = Result<Event, ClientError>> + use<> {
        let client = self.clone();
        stream::try_unfold(from_index, move |from| {
            let client = client.clone();
            async move {
                let events = client.log(from, None).await?.events;
                let Some(last) = events.last().and_then(|event| event.log_index) else { return Ok(None) };
                Ok(Some((stream::iter(events.into_iter().map(Ok)), last + 1)))
            }
        })
        .try_flatten()
    }

    /// A plan's last event; with `below_index` the last that is sealed below that index of the log. None where there is
    /// no such event.
    pub async fn head(&self, plan: &str, below_index: Option<u64>) -> Result<Option<Head>, ClientError> {
        let call = Call::get(["v1", "plans", plan, "head"]).query("below_index", below_index).affinity(plan);
        match self.json(&call).await {
            Ok(head) => Ok(Some(head)),
            Err(error) if error.code() == Some("not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the service finds when it checks a plan's chain. Who does not trust the service runs `sealbus verify`.
    pub async fn verification(&self, plan: &str) -> Result<Verification, ClientError> {
        self.json(&Call::get(["v1", "plans", plan, "verification"]).affinity(plan)).await
    }

    /// One event, by its UUID.
    pub async fn event(&self, id: Uuid) -> Result<Option<Event>, ClientError> {
        match self.json(&Call::get(["v1", "events", &id.to_string()])).await {
            Ok(event) => Ok(Some(event)),
            Err(error) if error.code() == Some("not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The event types that may be published.
    pub async fn catalog(&self) -> Result<Value, ClientError> {
        self.json(&Call::get(["v1", "catalog"])).await
    }

    /// A page of the names of plans that begin with `prefix`.
    pub async fn plans(&self, prefix: &str, after: Option<&str>, limit: Option<u32>) -> Result<Plans, ClientError> {
        let prefix = (!prefix.is_empty()).then_some(prefix);
        let call = Call::get(["v1", "plans"]).query("prefix", prefix).query("after", after).query("limit", limit);
        self.json(&call).await
    }
}
