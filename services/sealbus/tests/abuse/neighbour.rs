//! The well-behaved tenant.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The token of the well-behaved tenant.
pub(crate) const NEIGHBOUR: &str = "the neighbour";
/// The pause between two events: 50 events a second.
const PAUSE: Duration = Duration::from_millis(20);
const PLANS: u64 = 20;

/// A client that publishes at a steady rate, whether or not the calls before were answered.
pub(crate) struct Neighbour {
    url: String,
    http: reqwest::Client,
}

/// The outcome of a run.
pub(crate) struct Outcome {
    /// Calls by status; 0 for a call that got no response.
    pub statuses: BTreeMap<u16, u64>,
    /// The response times, sorted.
    times: Vec<Duration>,
}

impl Neighbour {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), http: reqwest::Client::new() }
    }

    /// Publishes as many events as fit into this time, and waits for all responses. Calls `halfway` after half of them.
    pub(crate) async fn publish(&self, time: Duration, halfway: impl Fn()) -> Outcome {
        let mut calls = JoinSet::new();
        let mut tick = interval(PAUSE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let events = u64::try_from(time.as_millis() / PAUSE.as_millis()).unwrap();
        for n in 0..events {
            tick.tick().await;
            if n == events / 2 {
                halfway();
            }
            let url = format!("{}/v1/plans/order-{}/events", self.url, n % PLANS);
            let event = json!({ "type": "test.happened", "data": { "n": n, "text": "x".repeat(1_000) } });
            let call = self.http.post(url).bearer_auth(NEIGHBOUR).json(&event);
            calls.spawn(async move {
                let sent = Instant::now();
                let status = call.send().await.map_or(0, |response| response.status().as_u16());
                (status, sent.elapsed())
            });
        }
        let mut outcome = Outcome { statuses: BTreeMap::new(), times: Vec::new() };
        for (status, time) in calls.join_all().await {
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
        write!(f, "{} calls, p50 {:?}, p99 {:?}", self.calls(), self.percentile(50), self.percentile(99))
    }
}
