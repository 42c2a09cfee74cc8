//! The metrics of the sealer.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The labels of a request to a witness. The names of witnesses come from the policy, so that there are few.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessOutcome {
    witness: String,
    outcome: &'static str,
}

/// The counters of a sealer.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Leaves added to the log.
    pub leaves: Counter,
    /// Events that failed their check, so that their plan was stopped.
    pub stopped: Counter,
    /// Checkpoints that were anchored, including heartbeats.
    pub checkpoints: Counter,
    /// Checkpoints that an anchor failed to keep, per anchor.
    pub unanchored: Counter,
    /// Transactions of the sealer that failed.
    pub failures: Counter,
    /// Checkpoints that were anchored but not shown, because they lacked the quorum of witnesses.
    pub without_quorum: Counter,
    witness_outcomes: Family<WitnessOutcome, Counter>,
}

impl Metrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("sealbus_sealer_leaves", "Leaves added to the log", metrics.leaves.clone());
        registry.register(
            "sealbus_sealer_stopped_plans",
            "Plans that could not be sealed further",
            metrics.stopped.clone(),
        );
        registry.register(
            "sealbus_sealer_checkpoints",
            "Checkpoints anchored, including heartbeats",
            metrics.checkpoints.clone(),
        );
        registry.register(
            "sealbus_sealer_unanchored",
            "Checkpoints that an anchor failed to keep",
            metrics.unanchored.clone(),
        );
        registry.register(
            "sealbus_sealer_failures",
            "Transactions of the sealer that failed",
            metrics.failures.clone(),
        );
        registry.register(
            "sealbus_sealer_without_quorum",
            "Checkpoints anchored but not shown, because too few witnesses cosigned them",
            metrics.without_quorum.clone(),
        );
        registry.register(
            "sealbus_sealer_witness_answers",
            "Cosignature requests to witnesses by outcome: cosigned, late, unreachable, refused, invalid, overtaken, ahead, fork",
            metrics.witness_outcomes.clone(),
        );
        metrics
    }

    /// Counts the outcome of a request to a witness.
    pub(crate) fn witness_outcome(&self, witness: &str, outcome: &'static str) {
        self.witness_outcomes.get_or_create(&WitnessOutcome { witness: witness.to_owned(), outcome }).inc();
    }
}
