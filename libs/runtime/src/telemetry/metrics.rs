//! The metrics of a process for Prometheus.
//!
//! Each service declares its metrics in one struct and registers them with a [`MetricGroup`] in the registry of its process,
//! which the admin listener serves.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
pub use prometheus_client::registry::Registry;
use prometheus_client::registry::{Metric, Unit};

use super::process::Process;

/// Media type of [`exposition`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns a registry with the metrics that the operating system has of the process: memory, CPU time, open files, threads.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

/// The label of a metric that has one label: its name and value.
pub type Label<V> = [(&'static str, V); 1];

/// Registers the metrics of one service under names that begin with the same prefix.
///
/// Each method returns the metric that it registered, so that a service declares name, help text and metric in one place.
pub struct MetricGroup<'a>(&'a mut Registry);

impl<'a> MetricGroup<'a> {
    /// Creates a group. The names of its metrics begin with `prefix` and an underscore.
    pub fn new(registry: &'a mut Registry, prefix: &str) -> Self {
        Self(registry.sub_registry_with_prefix(prefix))
    }

    /// Registers a counter, a gauge, or a family of them.
    pub fn register<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.register_with(name, help, M::default())
    }

    /// Registers a metric that has no default, such as a histogram.
    pub fn register_with<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, Described(metric.clone()));
        metric
    }

    /// Registers a metric whose values are seconds. Its name gets the suffix `_seconds`.
    pub fn register_seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, Unit::Seconds, Described(metric.clone()));
        metric
    }
}

/// A metric whose name, type and help text are exported also while it has no values, as a family before its first label.
#[derive(Debug)]
struct Described<M>(M);

impl<M: EncodeMetric> EncodeMetric for Described<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

/// Encodes a metric with one label, in a collector that reads its values at each scrape. `values` are the values of the label,
/// each with the metric.
pub fn encode_labelled<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, M)>,
) -> fmt::Result {
    let mut values = values.into_iter().peekable();
    let Some((_, first)) = values.peek() else { return Ok(()) };
    let mut metric = encoder.encode_descriptor(name, help, unit, first.metric_type())?;
    values.try_for_each(|(value, sample)| sample.encode(metric.encode_family(&[(label, value)])?))
}

/// Returns all metrics of the registry with their current values, in the text format of `OpenMetrics`.
pub fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    // This fails only if the encoding of a metric fails. The other metrics are still useful.
    if encode(&mut text, registry).is_err() {
        tracing::error!("cannot encode a metric");
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    #[test]
    fn a_group_prefixes_the_names_of_its_metrics() {
        let mut registry = Registry::default();
        let mut group = MetricGroup::new(&mut registry, "sealbus_relay");
        group.register::<Counter>("deleted_rows", "Outbox rows deleted").inc();
        group.register_seconds("oldest_age", "Age of the oldest row", Gauge::<i64>::default()).set(3);
        let text = exposition(&registry);
        assert!(text.contains("\nsealbus_relay_deleted_rows_total 1\n"), "{text}");
        assert!(text.contains("\nsealbus_relay_oldest_age_seconds 3\n"), "{text}");
    }

    #[test]
    fn a_family_is_described_before_it_has_values() {
        let mut registry = Registry::default();
        MetricGroup::new(&mut registry, "sealbus_relay").register::<Family<Label<String>, Counter>>("hints", "Hints");
        let text = exposition(&registry);
        assert_eq!(text, "# HELP sealbus_relay_hints Hints.\n# TYPE sealbus_relay_hints counter\n# EOF\n");
    }

    #[test]
    fn registered_metrics_and_those_of_the_process_are_written() {
        let mut registry = registry();
        let appended = Counter::<u64>::default();
        registry.register("sealbus_events_appended", "Events appended", appended.clone());
        appended.inc_by(7);
        let text = exposition(&registry);
        assert!(text.contains("# TYPE sealbus_events_appended counter"), "{text}");
        assert!(text.contains("\nsealbus_events_appended_total 7\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let resident = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let resident: u64 = resident.expect("it is there").parse().expect("a number");
        assert!(resident > 1 << 20, "{resident}");
        for name in ["process_cpu_seconds_total ", "process_open_fds ", "process_threads "] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name}: {text}");
        }
    }
}
