//! The relay's metrics.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sealbus_broker::PublishError;
use sealbus_ledger::outbox::Depth;
use sealbus_runtime::telemetry::metrics::{Label, MetricGroup};

/// The upper bounds of the latencies, in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The outcome of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum HintFate {
    Taken,
    /// The worker had no capacity. The outbox scan finds the event.
    Dropped,
    /// The hint is malformed, of another ledger or partition, or without a valid seal.
    Refused,
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
    /// Times that a plan was held back.
    pub blocked_plans: Counter,
    /// Plans that are held back now.
    pub blocked_now: Gauge,
    /// Partitions whose lease this process owns.
    pub partitions_owned: Gauge,
    /// Partitions whose lease no process owns.
    pub partitions_unowned: Gauge,
    hints: Family<Label<HintFate>, Counter>,
    failures: Family<Label<&'static str>, Counter>,
    pub(crate) ack_latency: Histogram,
    outbox_rows: Family<Label<u32>, Gauge>,
    outbox_oldest_age: Family<Label<u32>, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let mut group = MetricGroup::new(registry, "sealbus_relay");
        Self {
            acknowledged: group.register("acknowledged", "Messages that the stream acknowledged as new"),
            duplicates: group.register("duplicates", "Messages that the stream had already stored"),
            deleted_rows: group.register("deleted_rows", "Outbox rows deleted after their acknowledgement"),
            phantoms: group.register("phantoms", "Acknowledged events that the ledger does not hold"),
            blocked_plans: group
                .register("blocked_plans", "Times that a plan was held back because an event of it cannot be sent"),
            blocked_now: group.register(
                "blocked_now",
                "Plans of the owned partitions that are held back now because an event of them cannot be sent",
            ),
            partitions_unowned: group.register("partitions_unowned", "Partitions whose lease no relay owns"),
            partitions_owned: group.register("partitions_owned", "Partitions whose lease this process owns"),
            hints: group.register("hints", "Hints, by outcome"),
            failures: group.register("failures", "Messages without an acknowledgement, by cause"),
            ack_latency: group.register_seconds(
                "ack_latency",
                "Time from sending a message to its acknowledgement",
                Histogram::new(LATENCY_BUCKETS),
            ),
            outbox_rows: group.register("outbox_rows", "Outbox rows of the owned partitions, at most 10000 for each"),
            outbox_oldest_age: group.register_seconds(
                "outbox_oldest_age",
                "Age of the event of the lowest outbox row",
                Family::default(),
            ),
        }
    }

    /// Returns the number of refused hints.
    pub fn refused_hints(&self) -> u64 {
        self.hints.get_or_create(&[("fate", HintFate::Refused)]).get()
    }

    /// Counts a hint.
    pub(crate) fn hint(&self, fate: HintFate) {
        self.hints.get_or_create(&[("fate", fate)]).inc();
    }

    /// Counts a message without an acknowledgement.
    pub(crate) fn failure(&self, error: &PublishError) {
        let cause = match error {
            PublishError::Unreachable(_) => "Away",
            PublishError::NoStream | PublishError::Refused { .. } => "Refused",
            PublishError::InProcess => "InProcess",
            PublishError::TooLarge | PublishError::Encode(_) => "Unsendable",
        };
        self.failures.get_or_create(&[("cause", cause)]).inc();
    }

    /// Sets the depths of the owned partitions.
    pub(crate) fn outbox(&self, depths: &[Depth]) {
        // A partition that another relay owns now is reported by that relay.
        self.outbox_rows.clear();
        self.outbox_oldest_age.clear();
        for depth in depths {
            let partition = [("partition", depth.partition)];
            self.outbox_rows.get_or_create(&partition).set(i64::try_from(depth.rows).unwrap_or(i64::MAX));
            self.outbox_oldest_age.get_or_create(&partition).set(depth.oldest_seconds);
        }
    }
}
