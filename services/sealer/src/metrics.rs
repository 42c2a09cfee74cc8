//! The metrics of the sealer.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealbus_runtime::telemetry::metrics::{Label, MetricGroup};

/// The labels of a request to a witness. The names of witnesses come from the policy, so that there are few.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessOutcome {
    witness: String,
    outcome: &'static str,
}

/// A gauge of seconds.
type Age = Gauge<f64, AtomicU64>;

/// What the loops of a sealer know, and the ledger does not.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The id from which on the seal queue has events of plans that are not stopped.
    pub low_water_bound: AtomicI64,
    /// The size of the newest checkpoint that this process has anchored, and when.
    pub anchored: Mutex<Option<(u64, Instant)>>,
}

/// The metrics of a sealer.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) leaves: Counter,
    pub(crate) stopped: Counter,
    pub(crate) checkpoints: Counter,
    /// One count for each anchor.
    pub(crate) unanchored: Counter,
    pub(crate) failures: Counter,
    pub(crate) without_quorum: Counter,
    refusals: Family<Label<&'static str>, Gauge>,
    /// The plans that are stopped now.
    pub(crate) stopped_now: Gauge,
    /// Leaves of the newest checkpoint: stored, anchored, and shown.
    pub(crate) checkpoint_size: Family<Label<&'static str>, Gauge>,
    /// Its age in seconds.
    pub(crate) checkpoint_age: Family<Label<&'static str>, Age>,
    pub(crate) queued: Gauge,
    pub(crate) queued_age: Age,
    /// What the loops know, for the next measurement.
    pub(crate) progress: Arc<Progress>,
    witness_outcomes: Family<WitnessOutcome, Counter>,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let mut group = MetricGroup::new(registry, "sealbus_sealer");
        Self {
            leaves: group.register("leaves", "Leaves added to the log"),
            stopped: group.register("stopped_plans", "Plans that could not be sealed further"),
            checkpoints: group.register("checkpoints", "Checkpoints anchored, including heartbeats"),
            unanchored: group.register("unanchored", "Checkpoints that an anchor failed to keep"),
            failures: group.register("failures", "Transactions of the sealer that failed"),
            without_quorum: group.register(
                "without_quorum",
                "Checkpoints anchored but not shown, because too few witnesses cosigned them",
            ),
            refusals: group.register(
                "signing_refused",
                "1 while nothing is signed, by reason: unreadable, not_initialised, not_anchored, rolled_back, root_mismatch",
            ),
            stopped_now: group.register("stopped_now", "Plans that cannot be sealed further now"),
            checkpoint_size: group
                .register("checkpoint_size", "Leaves of the newest checkpoint that is stored, anchored, or shown to readers"),
            checkpoint_age: group.register_seconds(
                "checkpoint_age",
                "Time since the newest tree got its last leaf (stored), or its checkpoint was last anchored or shown",
                Family::default(),
            ),
            queued: group.register("queued", "Events that wait for their leaf, at most 10000"),
            queued_age: group.register_seconds(
                "queued_age",
                "Age of the event that has waited longest for its leaf; 0 if none waits",
                Age::default(),
            ),
            progress: Arc::default(),
            witness_outcomes: group.register(
                "witness_answers",
                "Cosignature requests to witnesses by outcome: cosigned, late, unreachable, refused, invalid, overtaken, ahead, fork",
            ),
        }
    }

    /// Sets the reason why nothing is signed.
    pub(crate) fn set_refusal(&self, reason: Option<&'static str>) {
        self.refusals.clear();
        if let Some(reason) = reason {
            self.refusals.get_or_create(&[("reason", reason)]).set(1);
        }
    }

    /// Returns whether nothing is signed for this reason.
    pub fn refuses(&self, reason: &'static str) -> bool {
        self.refusals.get_or_create(&[("reason", reason)]).get() == 1
    }

    /// Counts the outcome of a request to a witness.
    pub(crate) fn witness_outcome(&self, witness: &str, outcome: &'static str) {
        self.witness_outcomes.get_or_create(&WitnessOutcome { witness: witness.to_owned(), outcome }).inc();
    }
}
