//! The sealer's metrics, all declared here.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What became of asking a witness. Its name is the policy's, so labels are few.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    witness: String,
    outcome: &'static str,
}

/// Counters of one sealer.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Leaves added to the log.
    pub leaves: Counter,
    /// Plans found wrong, each time one is.
    pub stopped: Counter,
    /// Checkpoints that were anchored, heartbeats among them.
    pub checkpoints: Counter,
    /// Checkpoints that an anchor did not take.
    pub unanchored: Counter,
    /// Sealing transactions that the database did not take.
    pub failures: Counter,
    /// Checkpoints that were anchored without a quorum of witnesses, and not shown.
    pub without_quorum: Counter,
    answers: Family<Answer, Counter>,
}

impl Metrics {
    /// Registers them.
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
            "Checkpoints anchored, heartbeats among them",
            metrics.checkpoints.clone(),
        );
        registry.register(
            "sealbus_sealer_unanchored",
            "Checkpoints that an anchor did not take",
            metrics.unanchored.clone(),
        );
        registry.register("sealbus_sealer_failures", "Sealing transactions that failed", metrics.failures.clone());
        registry.register(
            "sealbus_sealer_without_quorum",
            "Checkpoints that too few witnesses cosigned: anchored, and not shown",
            metrics.without_quorum.clone(),
        );
        registry.register(
            "sealbus_sealer_witness_answers",
            "Witnesses that were asked to cosign, by what came of it: cosigned, late, unreachable, refused, invalid, overtaken, ahead, fork",
            metrics.answers.clone(),
        );
        metrics
    }

    /// Counts what came of asking a witness.
    pub(crate) fn asked(&self, witness: &str, outcome: &'static str) {
        self.answers.get_or_create(&Answer { witness: witness.to_owned(), outcome }).inc();
    }
}
