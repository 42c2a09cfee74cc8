//! The metrics of a witness.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabel {
    origin: String,
}

/// The metrics of a witness. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    answers: Family<StatusLabel, Counter>,
    size: Family<LogLabel, Gauge>,
    time: Family<LogLabel, Gauge>,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "sealbus_witness_answers",
            "Cosignature requests, by the status of the answer",
            metrics.answers.clone(),
        );
        registry.register(
            "sealbus_witness_size",
            "Leaves of the last cosigned tree, by the origin of the log",
            metrics.size.clone(),
        );
        registry.register(
            "sealbus_witness_time_seconds",
            "Time of the last cosignature in seconds since 1970, by the origin of the log",
            metrics.time.clone(),
        );
        metrics
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, status: u16) {
        self.answers.get_or_create(&StatusLabel { status }).inc();
    }

    /// Records the last cosignature of a log. Only logs of the policy are recorded, so that there are few labels.
    pub(crate) fn cosigned(&self, origin: &str, size: u64, time: u64) {
        let log = LogLabel { origin: origin.to_owned() };
        // A gauge is an i64. No log has more leaves, and a time beyond it is one that only a broken clock can have.
        let value = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.size.get_or_create(&log).set(value(size));
        self.time.get_or_create(&log).set(value(time));
    }
}
