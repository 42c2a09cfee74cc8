//! The metrics of a witness.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealbus_runtime::telemetry::metrics::{Label, MetricGroup};

/// The metrics of a witness. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    answers: Family<Label<u16>, Counter>,
    size: Family<Label<String>, Gauge>,
    time: Family<Label<String>, Gauge>,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let mut group = MetricGroup::new(registry, "sealbus_witness");
        Self {
            answers: group.register("answers", "Cosignature requests, by the status of the answer"),
            size: group.register("size", "Leaves of the last cosigned tree, by the origin of the log"),
            time: group.register(
                "time_seconds",
                "Time of the last cosignature in seconds since 1970, by the origin of the log",
            ),
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, status: u16) {
        self.answers.get_or_create(&[("status", status)]).inc();
    }

    /// Records the last cosignature of a log. Only logs of the policy are recorded, so that there are few labels.
    pub(crate) fn cosigned(&self, origin: &str, size: u64, time: u64) {
        let log = [("origin", origin.to_owned())];
        // A gauge is an i64. No log has more leaves, and a time beyond it is one that only a broken clock can have.
        let value = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.size.get_or_create(&log).set(value(size));
        self.time.get_or_create(&log).set(value(time));
    }
}
