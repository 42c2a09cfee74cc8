//! What a witness counts, declared in one place.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Log {
    origin: String,
}

/// The witness's metrics. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    answers: Family<Answer, Counter>,
    size: Family<Log, Gauge>,
    time: Family<Log, Gauge>,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "sealbus_witness_answers",
            "Requests to cosign, by the answer's status",
            metrics.answers.clone(),
        );
        registry.register(
            "sealbus_witness_size",
            "Leaves of the last tree cosigned, by the log's origin",
            metrics.size.clone(),
        );
        registry.register(
            "sealbus_witness_time_seconds",
            "Time of the last cosignature since 1970, by the log's origin",
            metrics.time.clone(),
        );
        metrics
    }

    pub(crate) fn answered(&self, status: u16) {
        self.answers.get_or_create(&Answer { status }).inc();
    }

    /// Where a log stands. Only logs of the policy have one, so labels are few.
    pub(crate) fn stands(&self, origin: &str, size: u64, time: u64) {
        let log = Log { origin: origin.to_owned() };
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.size.get_or_create(&log).set(number(size));
        self.time.get_or_create(&log).set(number(time));
    }
}
