//! The well-behaved tenant.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

/// The token of the well-behaved tenant.
pub(crate) const NEIGHBOUR: &str = "the neighbour";
/// The pause between two events: 50 events a second.
const PAUSE: Duration = Duration::from_millis(20);
const PLANS: u64 = 20;
/// How often a call is sent at most.
const TRIES: usize = 3;

/// A client that publishes at a steady rate, whether or not the calls before were answered.
pub(crate) struct Neighbour {
    url: String,
    http: reqwest::Client,
}

/// The outcome of a run.
pub(crate) struct Outcome {
    /// Calls by status; 0 for a call that got no response, although it was repeated.
    pub statuses: BTreeMap<u16, u64>,
    /// The response times, sorted.
    times: Vec<Duration>,
    /// The number of calls that were repeated, because the connection was closed.
    repeated: u64,
    /// Why the first of them was repeated, and how long after the begin it was sent.
    failure: Option<(Duration, String)>,
}

impl Neighbour {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), http: reqwest::Client::new() }
    }

    /// Publishes as many events as fit into this time, and waits for all responses. Calls `halfway` after half of them.
    pub(crate) async fn publish(&self, time: Duration, halfway: impl Fn()) -> Outcome {
        let (began, mut calls) = (Instant::now(), JoinSet::new());
        let mut tick = interval(PAUSE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let events = u64::try_from(time.as_millis() / PAUSE.as_millis()).unwrap();
        for n in 0..events {
            tick.tick().await;
            if n == events / 2 {
                halfway();
            }
            let url = format!("{}/v1/plans/order-{}/events", self.url, n % PLANS);
            let event =
                json!({ "id": Uuid::now_v7(), "type": "test.happened", "data": { "n": n, "text": "x".repeat(1_000) } });
            let call = self.http.post(url).bearer_auth(NEIGHBOUR).json(&event);
            calls.spawn(async move {
                let sent = Instant::now();
                let mut first_failure = None;
                // A server may close an idle connection at the moment at which a request is sent on it (RFC 9112, section 9.5),
                // so that clients repeat it. The id makes that safe.
                for _ in 0..TRIES {
                    match call.try_clone().expect("the body is no stream").send().await {
                        Ok(response) => return (response.status().as_u16(), first_failure, sent.elapsed()),
                        Err(error) => {
                            first_failure.get_or_insert((sent - began, sealbus_core::error_chain(&error)));
                        }
                    }
                }
                (0, first_failure, sent.elapsed())
            });
        }
        let mut outcome = Outcome { statuses: BTreeMap::new(), times: Vec::new(), repeated: 0, failure: None };
        for (status, failure, time) in calls.join_all().await {
            if let Some(failure) = failure {
                outcome.repeated += 1;
                outcome.failure.get_or_insert(failure);
            }
            *outcome.statuses.entry(status).or_default() += 1;
            outcome.times.push(time);
        }
        outcome.times.sort();
        outcome
    }
}

impl Outcome {
    pub(crate) fn calls(&self) -> u64 {
        self.times.len() as u64
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)]
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls, p50 {:?}, p99 {:?}", self.calls(), self.percentile(50), self.percentile(99))?;
        match &self.failure {
            Some((after, error)) => write!(f, ", {} repeated, the first after {after:?}: {error}", self.repeated),
            None => Ok(()),
        }
    }
}
