//! What the publisher counts, declared in one place.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sealbus_core::error::ErrorKind;

/// Labels of a request: the route's pattern, never its path, and the class of the status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Channel {
    channel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

/// The publisher's metrics. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    published: Family<Channel, Counter>,
    refused: Family<Code, Counter>,
    call_events: Histogram,
    /// Bodies in hand: coming in, or of calls that are not answered yet.
    pub bodies: Gauge,
    /// Streams that are open.
    pub streams: Gauge,
    /// Events sent on streams.
    pub streamed: Counter,
    /// Hints offered to the broker.
    pub hints: Counter,
}

impl Metrics {
    /// Metrics, registered.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 2.0, 16))),
            published: Family::default(),
            refused: Family::default(),
            call_events: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            bodies: Gauge::default(),
            streams: Gauge::default(),
            streamed: Counter::default(),
            hints: Counter::default(),
        };
        registry.register(
            "sealbus_publisher_requests",
            "Requests answered, by route and class of status",
            metrics.requests.clone(),
        );
        registry.register(
            "sealbus_publisher_request_seconds",
            "Time from a request's head to its answer's",
            metrics.seconds.clone(),
        );
        registry.register(
            "sealbus_publisher_events_published",
            "Events stored anew, by channel",
            metrics.published.clone(),
        );
        registry.register(
            "sealbus_publisher_refused",
            "Calls, and events of batches, that were refused, by code",
            metrics.refused.clone(),
        );
        registry.register("sealbus_publisher_call_events", "Events in a publish call", metrics.call_events.clone());
        registry.register(
            "sealbus_publisher_bodies",
            "Bodies coming in, or of calls that are not answered yet",
            metrics.bodies.clone(),
        );
        registry.register("sealbus_publisher_streams", "Event streams open", metrics.streams.clone());
        registry.register("sealbus_publisher_streamed_events", "Events sent on streams", metrics.streamed.clone());
        registry.register(
            "sealbus_publisher_hints",
            "Committed events offered to the broker as hints",
            metrics.hints.clone(),
        );
        metrics
    }

    /// Counts an answer.
    pub fn answered(&self, method: &axum::http::Method, route: Option<&str>, status: u16, took: Duration) {
        let method = known(method);
        let route = route.unwrap_or("none").to_owned();
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&Answered { method, route: route.clone(), status: class }).inc();
        self.seconds.get_or_create(&Route { method, route }).observe(took.as_secs_f64());
    }

    /// Counts a refusal.
    pub fn refused(&self, kind: ErrorKind) {
        self.refused.get_or_create(&Code { code: kind.code() }).inc();
    }

    /// Counts an event that was stored anew.
    pub fn published(&self, channel: &str) {
        self.published.get_or_create(&Channel { channel: channel.to_owned() }).inc();
    }

    /// Counts a publish call of so many events.
    pub fn call(&self, events: usize) {
        self.call_events.observe(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
    }
}

/// A label of low cardinality, whatever a caller invents.
fn known(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
