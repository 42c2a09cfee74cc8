//! The relay's metrics, all declared here.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sealbus_broker::PublishError;
use sealbus_ledger::outbox::Depth;

/// What became of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum HintFate {
    /// Handed to the worker.
    Taken,
    /// Dropped for want of room; the sweep finds its event.
    Dropped,
    /// Not an event of this ledger's, or its seal does not hold.
    Refused,
}

/// Why a message was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Cause {
    /// No connection, or no answer.
    Away,
    /// No stream, or one that refuses.
    Refused,
    /// Its first copy was being stored.
    InProcess,
    /// The event can never be sent as it is.
    Unsendable,
}

impl From<&PublishError> for Cause {
    fn from(error: &PublishError) -> Self {
        match error {
            PublishError::Unreachable(_) => Self::Away,
            PublishError::NoStream | PublishError::Refused { .. } => Self::Refused,
            PublishError::InProcess => Self::InProcess,
            PublishError::TooLarge | PublishError::Encode(_) => Self::Unsendable,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFate {
    fate: HintFate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPartition {
    partition: u32,
}

/// What one relay counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Messages that the stream acknowledged as new.
    pub acknowledged: Counter,
    /// Messages that the stream held already.
    pub duplicates: Counter,
    /// Outbox rows deleted.
    pub deleted: Counter,
    /// Acknowledged events that the ledger does not hold.
    pub phantoms: Counter,
    /// Plans held back because an event of theirs cannot be sent.
    pub blocked: Counter,
    /// Partitions whose lease this process holds.
    pub partitions: Gauge,
    hints: Family<ByFate, Counter>,
    failures: Family<ByCause, Counter>,
    latency: Histogram,
    depth: Family<ByPartition, Gauge>,
    oldest: Family<ByPartition, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            acknowledged: Counter::default(),
            duplicates: Counter::default(),
            deleted: Counter::default(),
            phantoms: Counter::default(),
            blocked: Counter::default(),
            partitions: Gauge::default(),
            hints: Family::default(),
            failures: Family::default(),
            latency: Histogram::new([0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]),
            depth: Family::default(),
            oldest: Family::default(),
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "sealbus_relay_acknowledged",
            "Messages that the stream acknowledged as new",
            metrics.acknowledged.clone(),
        );
        registry.register(
            "sealbus_relay_duplicates",
            "Messages that the stream held already",
            metrics.duplicates.clone(),
        );
        registry.register(
            "sealbus_relay_deleted_rows",
            "Outbox rows deleted after their acknowledgement",
            metrics.deleted.clone(),
        );
        registry.register(
            "sealbus_relay_phantoms",
            "Acknowledged events that the ledger does not hold",
            metrics.phantoms.clone(),
        );
        registry.register(
            "sealbus_relay_blocked_plans",
            "Times that a plan was held back, since an event of it cannot be sent",
            metrics.blocked.clone(),
        );
        registry.register(
            "sealbus_relay_partitions_owned",
            "Partitions whose lease this process holds",
            metrics.partitions.clone(),
        );
        registry.register("sealbus_relay_hints", "Hints, by what became of them", metrics.hints.clone());
        registry.register(
            "sealbus_relay_failures",
            "Messages without an acknowledgement, by cause",
            metrics.failures.clone(),
        );
        registry.register_with_unit(
            "sealbus_relay_ack_latency",
            "From sending a message to its acknowledgement",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register(
            "sealbus_relay_outbox_rows",
            "Rows of the outbox, in partitions owned",
            metrics.depth.clone(),
        );
        registry.register_with_unit(
            "sealbus_relay_outbox_oldest_age",
            "Age of the event of the lowest outbox row",
            Unit::Seconds,
            metrics.oldest.clone(),
        );
        metrics
    }

    /// Hints that were no event of this ledger's, or whose seal did not hold.
    pub fn refused_hints(&self) -> u64 {
        self.hints.get_or_create(&ByFate { fate: HintFate::Refused }).get()
    }

    pub(crate) fn hint(&self, fate: HintFate) {
        self.hints.get_or_create(&ByFate { fate }).inc();
    }

    pub(crate) fn failure(&self, cause: Cause) {
        self.failures.get_or_create(&ByCause { cause }).inc();
    }

    pub(crate) fn took(&self, latency: Duration) {
        self.latency.observe(latency.as_secs_f64());
    }

    pub(crate) fn outbox(&self, depths: &[Depth]) {
        // A partition that went to another relay is that one's to report.
        self.depth.clear();
        self.oldest.clear();
        for depth in depths {
            let partition = ByPartition { partition: depth.partition };
            self.depth.get_or_create(&partition).set(i64::try_from(depth.rows).unwrap_or(i64::MAX));
            self.oldest.get_or_create(&partition).set(depth.oldest_seconds);
        }
    }
}
