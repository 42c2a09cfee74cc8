//! Publishing CloudEvents in batch mode: events of several plans in one request
//! (docs/spec/interface.md#publish-cloudevents).

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::call::Call;
use crate::transport::{CREATED, Pauses, is_retryable};
use crate::{Client, ClientError, Event, Problem, Published};

const MEDIA_TYPE: &str = "application/cloudevents-batch+json";

/// The outcome of one event of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The event is stored.
    Stored(Box<Published>),
    /// The event was refused, and with it all events of its plan in this batch.
    Refused(Box<Problem>),
}

/// The result of one event in a response.
#[derive(Deserialize)]
struct EventResult {
    status: u16,
    event: Option<Box<Event>>,
    problem: Option<Box<Problem>>,
}

impl Client {
    /// Publishes CloudEvents, atomically and in order for each plan. Returns one outcome for each event, in order.
    ///
    /// An event whose `id` is missing or null gets one. Events that are refused with a retryable status (`overloaded` and
    /// `ledger_unavailable`, or 429 from a proxy) are published again within the [retry
    /// budget](crate::ClientConfig::retry_budget).
    ///
    /// # Errors
    /// If the whole batch was refused or its outcome is unknown. It can safely be published again if all events have an
    /// `id`.
    pub async fn publish_cloudevents(&self, events: &[Value]) -> Result<Vec<Outcome>, ClientError> {
        let events: Vec<Cow<'_, Value>> = events.iter().map(with_id).collect();
        let deadline = Instant::now() + self.inner.config.retry_budget;
        let mut pauses = Pauses::new(self.inner.config.first_retry_delay);
        let mut outcomes = self.send_batch(&events).await?;
        loop {
            // The events to retry, and the longest pause that the service asks for.
            let delays: Vec<(usize, Duration)> = outcomes
                .iter()
                .enumerate()
                .filter_map(|(index, outcome)| Some((index, retry_delay(outcome)?)))
                .collect();
            let requested = delays.iter().map(|(_, delay)| *delay).max().unwrap_or_default();
            let pause = pauses.next().max(requested);
            if delays.is_empty() || Instant::now() + pause > deadline {
                return Ok(outcomes);
            }
            tokio::time::sleep(pause).await;
            let retried: Vec<Cow<'_, Value>> = delays.iter().map(|(index, _)| events[*index].clone()).collect();
            for ((index, _), outcome) in delays.into_iter().zip(self.send_batch(&retried).await?) {
                outcomes[index] = outcome;
            }
        }
    }

    async fn send_batch(&self, events: &[Cow<'_, Value>]) -> Result<Vec<Outcome>, ClientError> {
        #[derive(Deserialize)]
        struct Results {
            results: Vec<EventResult>,
        }
        let plan = events.first().and_then(|event| event["subject"].as_str()).unwrap_or_default();
        let call = Call::post(["v1", "events"], MEDIA_TYPE, events)?.affinity(plan);
        let response = self.send(&call).await?;
        let results = response.json::<Results>()?.results;
        if results.len() != events.len() {
            return Err(response.unexpected(format!("{} results for {} events", results.len(), events.len())));
        }
        let outcome = |result| match result {
            EventResult { status, event: Some(event), .. } => {
                Ok(Outcome::Stored(Box::new(Published { event: *event, new: status == CREATED })))
            }
            EventResult { problem: Some(problem), .. } => Ok(Outcome::Refused(problem)),
            EventResult { .. } => Err(response.unexpected("a result is neither an event nor a problem".to_owned())),
        };
        results.into_iter().map(outcome).collect()
    }
}

/// Returns the event with an id, so that a retry does not store it twice.
fn with_id(event: &Value) -> Cow<'_, Value> {
    match event {
        Value::Object(members) if members.get("id").is_none_or(Value::is_null) => {
            let mut members = members.clone();
            members.insert("id".to_owned(), Value::String(Uuid::now_v7().to_string()));
            Cow::Owned(Value::Object(members))
        }
        _ => Cow::Borrowed(event),
    }
}

/// Returns how long the service asks to wait before the event is published again, or `None` if that would be useless.
fn retry_delay(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Refused(problem) if is_retryable(problem.status) => Some(problem.retry_after.unwrap_or_default()),
        _ => None,
    }
}
