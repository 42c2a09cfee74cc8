//! Publishing CloudEvents in batch mode: events of any number of plans, in one call.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::client::Client;
use crate::error::{ClientError, Problem};
use crate::event::Event;
use crate::publish::{Published, encode};
use crate::retry::Pauses;
use crate::transport::{Call, may_pass};

const MEDIA_TYPE: &str = "application/cloudevents-batch+json";

/// What became of one event of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is stored.
    Stored(Box<Published>),
    /// It was refused, and the other events of its plan in this batch with it.
    Refused(Box<Problem>),
}

/// One result of the service's answer.
#[derive(Deserialize)]
struct Line {
    status: u16,
    event: Option<Box<Event>>,
    problem: Option<Box<Problem>>,
}

impl Client {
    /// Publishes CloudEvents, each plan's of them atomically and in the order given; one outcome for each, in order.
    ///
    /// An event without an `id` gets one. What fails in a way that may pass (`overloaded`, `ledger_unavailable`,
    /// `rate_limited`) is published again until the patience is used up. An error means that the batch was refused or
    /// lost as a whole; publishing it again does no harm, as far as the events have ids of their own.
    pub async fn publish_cloudevents(&self, events: &[Value]) -> Result<Vec<Outcome>, ClientError> {
        let events: Vec<Cow<'_, Value>> = events.iter().map(with_id).collect();
        let give_up_at = Instant::now() + self.inner.config.patience;
        let mut pauses = Pauses::new(self.inner.config.pause);
        let mut outcomes = self.send(&events).await?;
        loop {
            let open: Vec<usize> = (0..events.len()).filter(|&at| patience_asked(&outcomes[at]).is_some()).collect();
            let asked = open.iter().filter_map(|&at| patience_asked(&outcomes[at])).max().unwrap_or_default();
            let pause = pauses.next().max(asked);
            if open.is_empty() || Instant::now() + pause > give_up_at {
                return Ok(outcomes);
            }
            tokio::time::sleep(pause).await;
            let again: Vec<Cow<'_, Value>> = open.iter().map(|&at| events[at].clone()).collect();
            for (at, outcome) in open.into_iter().zip(self.send(&again).await?) {
                outcomes[at] = outcome;
            }
        }
    }

    async fn send(&self, events: &[Cow<'_, Value>]) -> Result<Vec<Outcome>, ClientError> {
        #[derive(Deserialize)]
        struct Results {
            results: Vec<Line>,
        }
        let plan = events.first().and_then(|event| event["subject"].as_str()).unwrap_or_default();
        let call = Call::post(["v1", "events"], MEDIA_TYPE, encode(events)?).affinity(plan);
        let answer = self.answer(&call).await?;
        let lines = answer.json::<Results>()?.results;
        if lines.len() != events.len() {
            return Err(answer.unexpected(format!("{} results for {} events", lines.len(), events.len())));
        }
        let outcome = |line| match line {
            Line { status, event: Some(event), .. } => {
                Ok(Outcome::Stored(Box::new(Published { event: *event, new: status == 201 })))
            }
            Line { problem: Some(problem), .. } => Ok(Outcome::Refused(problem)),
            Line { .. } => Err(answer.unexpected("a result is neither an event nor a problem".to_owned())),
        };
        lines.into_iter().map(outcome).collect()
    }
}

/// The event with an id, so that a retry of it is known for one.
fn with_id(event: &Value) -> Cow<'_, Value> {
    match event {
        Value::Object(members) if !members.contains_key("id") => {
            let mut members = members.clone();
            members.insert("id".to_owned(), Value::String(Uuid::now_v7().to_string()));
            Cow::Owned(Value::Object(members))
        }
        _ => Cow::Borrowed(event),
    }
}

/// How long to wait before the event is worth another attempt; none where it is stored, or refused for good.
fn patience_asked(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Refused(problem) if may_pass(problem.status) => Some(problem.retry_after.unwrap_or_default()),
        _ => None,
    }
}
