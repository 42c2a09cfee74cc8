//! The metrics of the sealer.

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
