//! Reading history (docs/spec/interface.md#read).

use futures::stream::{self, Stream, TryStreamExt};
use sealbus_core::hash::Hash;
use sealbus_core::json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::call::Call;
use crate::{Client, ClientError, Event};

/// A selection of a plan's events.
#[derive(Clone, Debug, Default)]
pub struct TrailQuery {
    /// The [`next`](Page::next) of the previous page. It takes precedence over `from_seq`.
    pub after: Option<String>,
    /// The seq of the first event.
    pub from_seq: Option<u64>,
    /// The maximum number of events of a page. The service reduces it to 1,000; its default is 100.
    pub limit: Option<u32>,
    /// Event types, such as `payment.settled`, and patterns, such as `payment.*`. Empty for all types.
    pub types: Vec<String>,
    /// Whether the events are in descending order of seq.
    pub newest_first: bool,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Page {
    /// The events. A page of some types or tenants can have none although there is a next page.
    pub events: Vec<Event>,
    /// The number of the plan's events. `None` for a page of the log, and for a page of some types.
    #[serde(default)]
    pub total: Option<u64>,
    /// The cursor of the next page, or `None` if this is the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// The head of a plan: its last event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Head {
    /// The seq of the event.
    pub seq: u64,
    /// The hash of the event.
    pub hash: Hash,
}

/// The result of the service's check of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Verification {
    /// The plan.
    pub plan: String,
    /// `ok`, or the verdict of the first finding.
    pub verdict: String,
    /// The seq of the first finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The position in the plan of the first finding, counted from 0: `seq` - 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The number of events that were checked.
    pub events: u64,
    /// The number of these events that are in the log.
    pub sealed: u64,
    /// The number of MACs and v1 signatures that the service could not check without their secret.
    #[serde(default)]
    pub unchecked: u64,
    /// What the service does not check: `tree`, `anchors`, `receipts`, `encrypted`. `sealbus verify` does.
    #[serde(default)]
    pub not_checked: Vec<String>,
    /// The first 1,000 findings, in order of seq.
    pub findings: Vec<Finding>,
    /// The number of further findings.
    #[serde(default)]
    pub omitted: u64,
}

/// A defect of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Finding {
    /// The seq of the event.
    pub seq: u64,
    /// The position of the event in the plan, counted from 0: `seq` - 1.
    pub index: u64,
    /// The verdict, such as `SEQ_GAP`.
    pub verdict: String,
    /// A description.
    pub detail: String,
}

impl Client {
    /// Reads a page of a plan's events.
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

    /// Reads all selected events of a plan, page by page.
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

    /// Reads a page of the log: sealed events from `from_index` on, in log order.
    pub async fn log(&self, from_index: u64, limit: Option<u32>) -> Result<Page, ClientError> {
        self.json(&Call::get(["v1", "events"]).query("from_index", Some(from_index)).query("limit", limit)).await
    }

    /// Reads all sealed events from `from_index` on, in log order, page by page. It ends at the end of the log.
    pub fn whole_log(&self, from_index: u64) -> impl Stream<Item = Result<Event, ClientError>> + use<> {
        let client = self.clone();
        stream::try_unfold(Some(from_index), move |from| {
            let client = client.clone();
            async move {
                let Some(from) = from else { return Ok(None) };
                let Page { events, next, .. } = client.log(from, None).await?;
                // Without a next page, the log is read once more after its last event, which may have followers by then.
                let after_last = || events.last().and_then(|event| event.log_index).map(|last| last + 1);
                let next = next.and_then(|next| next.parse().ok()).or_else(after_last);
                Ok(Some((stream::iter(events.into_iter().map(Ok)), next)))
            }
        })
        .try_flatten()
    }

    /// Reads the last event of a plan, or with `below_index` the last one that is sealed below that index of the log.
    /// Returns `None` if there is no such event.
    pub async fn head(&self, plan: &str, below_index: Option<u64>) -> Result<Option<Head>, ClientError> {
        let call = Call::get(["v1", "plans", plan, "head"]).query("below_index", below_index).affinity(plan);
        ClientError::none_if_not_found(self.json(&call).await)
    }

    /// Lets the service check the chain of a plan. To verify a plan without trusting the service, use `sealbus verify`.
    pub async fn verification(&self, plan: &str) -> Result<Verification, ClientError> {
        self.json(&Call::get(["v1", "plans", plan, "verification"]).affinity(plan)).await
    }

    /// Reads the tenant's event with this UUID. Returns `None` if there is no such event.
    pub async fn event(&self, id: Uuid) -> Result<Option<Event>, ClientError> {
        ClientError::none_if_not_found(self.json(&Call::get(["v1", "events", &id.to_string()])).await)
    }

    /// Reads the catalog of event types, as JSON.
    pub async fn catalog(&self) -> Result<Value, ClientError> {
        #[derive(Deserialize)]
        struct Catalog(#[serde(deserialize_with = "json::deserialize")] Value);
        let Catalog(catalog) = self.json(&Call::get(["v1", "catalog"])).await?;
        Ok(catalog)
    }
}
