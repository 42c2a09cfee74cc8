//! The publisher's metrics.

use std::fmt;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use sealbus_core::error::ErrorKind;
use sealbus_ledger::append::AppendMetrics;
use sealbus_runtime::memory::Budget;
use sealbus_runtime::telemetry::metrics::{Label, MetricGroup, encode_labelled};

use crate::Memory;

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

/// Registers the metrics of a publisher's appender.
pub fn register_appends(registry: &mut Registry, appends: &AppendMetrics) {
    let AppendMetrics { waiting_events, batch_events, deferrals, alone, .. } = appends.clone();
    let AppendMetrics { lock, transaction, commit, unknown_outcomes, refused_after_failover, .. } = appends.clone();
    let mut group = MetricGroup::new(registry, "sealbus_append");
    group.register_with("waiting_events", "Events of calls that wait for a batch or are in one", waiting_events);
    group.register_with("batch_events", "Events in each batch, with those that were stored already", batch_events);
    group.register_with("deferrals", "Calls put back because another replica had locked their plan", deferrals);
    group.register_with("alone", "Batches that waited alone for the lock of their plan", alone);
    group.register_seconds("lock", "Time until the plans of a batch were locked and their heads read", lock);
    group.register_seconds("transaction", "Duration of a transaction, also of one that failed", transaction);
    group.register_seconds("commit", "Duration of a commit", commit);
    group.register_with(
        "unknown_outcomes",
        "Calls answered with ledger_unavailable, whose events may be stored",
        unknown_outcomes,
    );
    group.register_with(
        "refused_after_failover",
        "Calls refused because the database has a history that nobody has confirmed",
        refused_after_failover,
    );
}

/// Registers the budgets of what a publisher holds in memory for its clients.
pub fn register_memory(registry: &mut Registry, memory: &Memory) {
    let Memory { bodies, queued, seal_waits, answers, feeds } = memory.clone();
    registry.register_collector(Box::new(Budgets([bodies, queued, seal_waits, answers, feeds])));
}

/// The budgets of a publisher, read at each scrape.
#[derive(Debug)]
struct Budgets([Budget; 5]);

impl Collector for Budgets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let values = |bytes: fn(&Budget) -> usize| {
            let gauge = move |budget: &Budget| ConstGauge::new(i64::try_from(bytes(budget)).unwrap_or(i64::MAX));
            self.0.iter().map(move |budget| (budget.name(), gauge(budget)))
        };
        let (reserved, limit) = ("sealbus_publisher_memory_reserved", "sealbus_publisher_memory_limit");
        let help = "Memory that is reserved for clients, by what it is for";
        encode_labelled(&mut encoder, (reserved, help, Some(&Unit::Bytes)), "budget", values(Budget::reserved))?;
        let help = "Memory that can be reserved for clients, by what it is for";
        encode_labelled(&mut encoder, (limit, help, Some(&Unit::Bytes)), "budget", values(Budget::limit))
    }
}

/// Returns the label of a method. Methods that HTTP does not define share one label, which bounds the cardinality.
fn method_label(method: &Method) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
