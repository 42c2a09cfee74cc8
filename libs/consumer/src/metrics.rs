//! What the runtime counts, by subscription. Declared here, once for a process.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    subscription: String,
}

/// All metrics of the runtime.
#[derive(Clone)]
pub struct Metrics {
    delivered: Family<Of, Counter>,
    failed: Family<Of, Counter>,
    retried: Family<Of, Counter>,
    parked: Family<Of, Counter>,
    behind: Family<Of, Counter>,
    dead: Family<Of, Counter>,
    duplicates: Family<Of, Counter>,
    filled: Family<Of, Counter>,
    forks: Family<Of, Counter>,
    refused: Family<Of, Counter>,
    missing: Family<Of, Counter>,
    fenced: Family<Of, Counter>,
    shares: Family<Of, Gauge>,
    floor_lag: Family<Of, Gauge>,
    handler: Family<Of, Histogram>,
    unsealed: Gauge<f64, AtomicU64>,
}

/// The metrics of one subscription.
#[derive(Clone)]
pub(crate) struct SubscriptionMetrics {
    /// Events whose handler ran and whose position moved.
    pub delivered: Counter,
    /// Calls of the handler that failed.
    pub failed: Counter,
    /// Tries after a failure, in memory or by replay.
    pub retried: Counter,
    /// Plans parked.
    pub parked: Counter,
    /// Plans left behind.
    pub behind: Counter,
    /// Plans stopped at a dead letter.
    pub dead: Counter,
    /// Messages of events that were applied already.
    pub duplicates: Counter,
    /// Events read from the ledger because their messages were missing.
    pub filled: Counter,
    /// Plans stopped at a fork: an alarm.
    pub forks: Counter,
    /// Messages or rows whose seal did not hold: an alarm.
    pub refused: Counter,
    /// Looks for an event that the ledger should hold and lacks: an alarm.
    pub missing: Counter,
    /// Effects undone because the position was not where it was read.
    pub fenced: Counter,
    /// Shares held by this process.
    pub shares: Gauge,
    /// Sealed events that the floors have not passed, the youngest among them always.
    pub floor_lag: Gauge,
    handler: Histogram,
}

impl SubscriptionMetrics {
    pub(crate) fn handled(&self, took: Duration) {
        self.handler.observe(took.as_secs_f64());
    }
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            delivered: Family::default(),
            failed: Family::default(),
            retried: Family::default(),
            parked: Family::default(),
            behind: Family::default(),
            dead: Family::default(),
            duplicates: Family::default(),
            filled: Family::default(),
            forks: Family::default(),
            refused: Family::default(),
            missing: Family::default(),
            fenced: Family::default(),
            shares: Family::default(),
            floor_lag: Family::default(),
            unsealed: Gauge::default(),
            handler: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
        };
        let counters = [
            ("delivered", "Events whose handler ran and whose position moved", &metrics.delivered),
            ("failed", "Calls of a handler that failed", &metrics.failed),
            ("retried", "Tries after a failure", &metrics.retried),
            ("parked", "Plans parked", &metrics.parked),
            ("behind", "Plans left behind, to be replayed from the ledger", &metrics.behind),
            ("dead", "Plans stopped at a dead letter", &metrics.dead),
            ("duplicates", "Messages of events that were applied already", &metrics.duplicates),
            ("gaps_filled", "Events read from the ledger because their messages were missing", &metrics.filled),
            ("forks", "Plans stopped because two sealed events claim one place", &metrics.forks),
            ("refused_seals", "Events refused because their seal does not hold", &metrics.refused),
            ("missing", "Looks for an event that the ledger should hold and lacks", &metrics.missing),
            ("fenced", "Effects undone because the position had moved", &metrics.fenced),
        ];
        for (name, help, family) in counters {
            registry.register(format!("sealbus_consumer_{name}"), help, family.clone());
        }
        registry.register(
            "sealbus_consumer_shares",
            "Shares of subscriptions held by this process",
            metrics.shares.clone(),
        );
        registry.register(
            "sealbus_consumer_floor_lag",
            "Sealed events that the floors have not passed",
            metrics.floor_lag.clone(),
        );
        let unsealed = "Age of the oldest event without a leaf: while sealing stands still, floors do";
        registry.register_with_unit("sealbus_consumer_unsealed_age", unsealed, Unit::Seconds, metrics.unsealed.clone());
        let handler = "How long calls of a handler took";
        registry.register_with_unit(
            "sealbus_consumer_handler_duration",
            handler,
            Unit::Seconds,
            metrics.handler.clone(),
        );
        metrics
    }

    /// Age of the oldest event without a leaf, in seconds.
    pub(crate) fn unsealed(&self) -> Gauge<f64, AtomicU64> {
        self.unsealed.clone()
    }

    /// Those of one subscription; they show 0 from now on.
    pub(crate) fn of(&self, subscription: &str) -> SubscriptionMetrics {
        let of = Of { subscription: subscription.to_owned() };
        SubscriptionMetrics {
            delivered: self.delivered.get_or_create_owned(&of),
            failed: self.failed.get_or_create_owned(&of),
            retried: self.retried.get_or_create_owned(&of),
            parked: self.parked.get_or_create_owned(&of),
            behind: self.behind.get_or_create_owned(&of),
            dead: self.dead.get_or_create_owned(&of),
            duplicates: self.duplicates.get_or_create_owned(&of),
            filled: self.filled.get_or_create_owned(&of),
            forks: self.forks.get_or_create_owned(&of),
            refused: self.refused.get_or_create_owned(&of),
            missing: self.missing.get_or_create_owned(&of),
            fenced: self.fenced.get_or_create_owned(&of),
            shares: self.shares.get_or_create_owned(&of),
            floor_lag: self.floor_lag.get_or_create_owned(&of),
            handler: self.handler.get_or_create_owned(&of),
        }
    }
}
