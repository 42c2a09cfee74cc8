//! The publisher's metrics.

use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sealbus_core::error::ErrorKind;
use sealbus_runtime::telemetry::metrics::{Label, MetricGroup};

/// The method of a request, and the pattern of its route, not its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

/// The publisher's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<(RouteLabels, Label<&'static str>), Counter>,
    request_seconds: Family<RouteLabels, Histogram>,
    events_published: Family<Label<String>, Counter>,
    refused: Family<Label<&'static str>, Counter>,
    call_events: Histogram,
    pub(crate) bodies: Gauge,
    pub(crate) streams: Gauge,
    pub(crate) streamed_events: Counter,
    pub(crate) hints: Counter,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let mut group = MetricGroup::new(registry, "sealbus_publisher");
        Self {
            requests: group.register("requests", "Requests, by route and class of status"),
            request_seconds: group.register_with(
                "request_seconds",
                "Time from receiving the head of a request to the head of its response",
                Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 2.0, 16))),
            ),
            events_published: group
                .register("events_published", "Events stored, by channel; repeated events are not counted again"),
            refused: group.register("refused", "Refused requests, and refused events of batches, by error code"),
            call_events: group.register_with(
                "call_events",
                "Events per publish request",
                Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            ),
            bodies: group.register("bodies", "Request bodies being received, or of requests without a response yet"),
            streams: group.register("streams", "Open event streams"),
            streamed_events: group.register("streamed_events", "Events sent on streams"),
            hints: group.register("hints", "Committed events sent to the broker as hints"),
        }
    }

    /// Counts a response.
    pub(crate) fn answered(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let labels = RouteLabels { method: method_label(method), route: route.unwrap_or("none").to_owned() };
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.requests.get_or_create(&(labels, [("status", class)])).inc();
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, kind: ErrorKind) {
        self.refused.get_or_create(&[("code", kind.code())]).inc();
    }

    /// Counts an event that was stored.
    pub(crate) fn published(&self, channel: &str) {
        self.events_published.get_or_create(&[("channel", channel.to_owned())]).inc();
    }

    /// Counts a publish request with this number of events.
    pub(crate) fn call(&self, events: usize) {
        self.call_events.observe(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
    }
}

/// Returns the label of a method. Methods that HTTP does not define share one label, which bounds the cardinality.
fn method_label(method: &Method) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
