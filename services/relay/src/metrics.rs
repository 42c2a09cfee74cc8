//! The relay's metrics.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sealbus_broker::PublishError;
use sealbus_ledger::outbox::Depth;
use sealbus_runtime::telemetry::metrics::MetricGroup;

/// The outcome of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum HintFate {
    /// Handed to the worker.
    Taken,
    /// Dropped because the worker had no capacity. The outbox scan finds its event.
    Dropped,
    /// Malformed, of another ledger or partition, or without a valid seal.
    Refused,
}

/// The cause of a message without an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FailureCause {
    /// The broker is not connected or did not answer.
    Unreachable,
    /// The stream does not exist, or refused the message.
    Refused,
    /// The first copy of the message is still being stored.
    InProcess,
    /// The event can never be sent as it is.
    Unsendable,
}

impl From<&PublishError> for FailureCause {
    fn from(error: &PublishError) -> Self {
        match error {
            PublishError::Unreachable(_) => Self::Unreachable,
            PublishError::NoStream | PublishError::Refused { .. } => Self::Refused,
            PublishError::InProcess => Self::InProcess,
            PublishError::TooLarge | PublishError::Encode(_) => Self::Unsendable,
        }
    }
}

impl EncodeLabelValue for FailureCause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let value = match self {
            Self::Unreachable => "Away",
            Self::Refused => "Refused",
            Self::InProcess => "InProcess",
            Self::Unsendable => "Unsendable",
        };
        value.encode(encoder)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    fate: HintFate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: FailureCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    partition: u32,
}

/// The relay's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Messages that the stream acknowledged as new.
    pub acknowledged: Counter,
    /// Messages that the stream had already stored.
    pub duplicates: Counter,
    /// Deleted outbox rows.
    pub deleted_rows: Counter,
    /// Acknowledged events that the ledger does not hold.
    pub phantoms: Counter,
    /// Times that a plan was held back because an event of it cannot be sent.
    pub blocked_plans: Counter,
    /// Partitions whose lease this process owns.
    pub partitions_owned: Gauge,
    hints: Family<FateLabel, Counter>,
    failures: Family<CauseLabel, Counter>,
    ack_latency: Histogram,
    outbox_rows: Family<PartitionLabel, Gauge>,
    outbox_oldest_age: Family<PartitionLabel, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let mut group = MetricGroup::new(registry, "sealbus_relay");
        let latency_buckets = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
        Self {
            acknowledged: group.register(
                "acknowledged",
                "Messages that the stream acknowledged as new",
                Counter::default(),
            ),
            duplicates: group.register("duplicates", "Messages that the stream had already stored", Counter::default()),
            deleted_rows: group.register(
                "deleted_rows",
                "Outbox rows deleted after their acknowledgement",
                Counter::default(),
            ),
            phantoms: group.register(
                "phantoms",
                "Acknowledged events that the ledger does not hold",
                Counter::default(),
            ),
            blocked_plans: group.register(
                "blocked_plans",
                "Times that a plan was held back because an event of it cannot be sent",
                Counter::default(),
            ),
            partitions_owned: group.register(
                "partitions_owned",
                "Partitions whose lease this process owns",
                Gauge::default(),
            ),
            hints: group.register("hints", "Hints, by outcome", Family::default()),
            failures: group.register("failures", "Messages without an acknowledgement, by cause", Family::default()),
            ack_latency: group.register_seconds(
                "ack_latency",
                "Time from sending a message to its acknowledgement",
                Histogram::new(latency_buckets),
            ),
            outbox_rows: group.register("outbox_rows", "Outbox rows of the owned partitions", Family::default()),
            outbox_oldest_age: group.register_seconds(
                "outbox_oldest_age",
                "Age of the event of the lowest outbox row",
                Family::default(),
            ),
        }
    }

    /// Returns the number of refused hints.
    pub fn refused_hints(&self) -> u64 {
        self.hints.get_or_create(&FateLabel { fate: HintFate::Refused }).get()
    }

    /// Counts a hint.
    pub(crate) fn hint(&self, fate: HintFate) {
        self.hints.get_or_create(&FateLabel { fate }).inc();
    }

    /// Counts a message without an acknowledgement.
    pub(crate) fn failure(&self, cause: FailureCause) {
        self.failures.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Records the latency of an acknowledgement.
    pub(crate) fn acknowledged_after(&self, latency: Duration) {
        self.ack_latency.observe(latency.as_secs_f64());
    }

    /// Sets the depths of the owned partitions.
    pub(crate) fn outbox(&self, depths: &[Depth]) {
        // A partition that another relay owns now is reported by that relay.
        self.outbox_rows.clear();
        self.outbox_oldest_age.clear();
        for depth in depths {
            let partition = PartitionLabel { partition: depth.partition };
            self.outbox_rows.get_or_create(&partition).set(i64::try_from(depth.rows).unwrap_or(i64::MAX));
            self.outbox_oldest_age.get_or_create(&partition).set(depth.oldest_seconds);
        }
    }
}
