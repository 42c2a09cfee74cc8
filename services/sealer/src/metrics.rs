//! The sealer's metrics, all declared here.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

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
        metrics
    }
}
