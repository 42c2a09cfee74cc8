//! Queries about the outbox rows of all owned partitions at once. They run beside the loops of the relay and its workers, so
//! that neither waits for them.
//!
//! A worker that has nothing to do does not scan. One query for all of them finds the partitions in which rows appeared, so
//! that an idle relay makes one statement in each scan interval and not one for each partition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_ledger::Ledger;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::Config;
use crate::metrics::Metrics;

/// What the watch and the worker of a partition tell each other.
#[derive(Debug, Default)]
pub(crate) struct PartitionWatch {
    low_water_bound: AtomicI64,
    is_idle: AtomicBool,
    blocked_plans: AtomicUsize,
    /// Notified when the partition has rows from the low-water bound on.
    pub rows_found: Notify,
}

impl PartitionWatch {
    /// Records from which id on the partition may have rows, whether the worker waits for a notification of them, and how many
    /// plans it holds back.
    pub(crate) fn update(&self, low_water_bound: i64, is_idle: bool, blocked_plans: usize) {
        self.blocked_plans.store(blocked_plans, Ordering::Relaxed);
        self.low_water_bound.store(low_water_bound, Ordering::Relaxed);
        self.is_idle.store(is_idle, Ordering::Relaxed);
    }
}

/// The owned partitions.
#[derive(Debug, Default)]
pub(crate) struct OutboxWatch(Mutex<BTreeMap<u32, Arc<PartitionWatch>>>);

impl OutboxWatch {
    /// Adds a partition that this relay owns now.
    pub(crate) fn add(&self, partition: u32) -> Arc<PartitionWatch> {
        let added = Arc::<PartitionWatch>::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, Arc::clone(&added));
        added
    }

    /// Removes a partition.
    pub(crate) fn remove(&self, partition: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// Notifies idle workers of rows, at each interval. Never returns.
    pub(crate) async fn notify_workers(&self, ledger: Ledger, every: Duration) {
        let mut ticks = ticks(every);
        loop {
            ticks.tick().await;
            let mut idle = self.partitions();
            idle.retain(|_, watch| watch.is_idle.load(Ordering::Relaxed));
            if idle.is_empty() {
                continue;
            }
            match ledger.outbox().with_rows(&bounds(&idle)).await {
                Ok(found) => {
                    for watch in found.iter().filter_map(|partition| idle.get(partition)) {
                        watch.rows_found.notify_one();
                    }
                }
                Err(error) => tracing::warn!(error = %error_chain(&error), "the outbox cannot be read; retrying"),
            }
        }
    }

    /// Sets the metrics of the outbox, at each interval. Never returns.
    pub(crate) async fn measure(&self, ledger: Ledger, metrics: Metrics, every: Duration) {
        let mut ticks = ticks(every);
        loop {
            ticks.tick().await;
            let partitions = self.partitions();
            let blocked: usize = partitions.values().map(|watch| watch.blocked_plans.load(Ordering::Relaxed)).sum();
            metrics.blocked_now.set(i64::try_from(blocked).unwrap_or(i64::MAX));
            match ledger.outbox().depth(&bounds(&partitions)).await {
                Ok(depths) => metrics.outbox(&depths),
                Err(error) => tracing::warn!(
                    error = %error_chain(&error),
                    "the outbox cannot be measured; its metrics keep their values"
                ),
            }
        }
    }

    fn partitions(&self) -> BTreeMap<u32, Arc<PartitionWatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts the partitions whose lease no relay owns, at each interval. Never returns.
pub(crate) async fn count_unowned(ledger: Ledger, metrics: Metrics, config: &Config) {
    let mut ticks = ticks(config.measure_interval);
    loop {
        ticks.tick().await;
        match ledger.leases().view(&config.lease_kind, config.lease_duration).await {
            Ok(view) => {
                let unowned = i64::from(ledger.deployment().partitions) - i64::try_from(view.owned.len()).unwrap_or(0);
                metrics.partitions_unowned.set(unowned);
            }
            Err(error) => tracing::warn!(
                error = %error_chain(&error),
                "the leases cannot be counted; their metric keeps its value"
            ),
        }
    }
}

fn bounds(partitions: &BTreeMap<u32, Arc<PartitionWatch>>) -> Vec<(u32, i64)> {
    let bound = |watch: &PartitionWatch| watch.low_water_bound.load(Ordering::Relaxed);
    partitions.iter().map(|(partition, watch)| (*partition, bound(watch))).collect()
}

/// Returns an interval, each tick of which comes a period after the one before was taken.
pub(crate) fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
