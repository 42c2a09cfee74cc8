//! The metrics of the runtime, most of them by subscription. They are declared here and registered once in a process.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubscriptionLabel {
    subscription: String,
}

/// All metrics of the runtime.
#[derive(Clone)]
pub struct Metrics {
    delivered: Family<SubscriptionLabel, Counter>,
    failed: Family<SubscriptionLabel, Counter>,
    retried: Family<SubscriptionLabel, Counter>,
    parked: Family<SubscriptionLabel, Counter>,
    deferred: Family<SubscriptionLabel, Counter>,
    dead: Family<SubscriptionLabel, Counter>,
    duplicates: Family<SubscriptionLabel, Counter>,
    gaps_filled: Family<SubscriptionLabel, Counter>,
    forks: Family<SubscriptionLabel, Counter>,
    refused: Family<SubscriptionLabel, Counter>,
    missing: Family<SubscriptionLabel, Counter>,
    fenced: Family<SubscriptionLabel, Counter>,
    assignments: Family<SubscriptionLabel, Gauge>,
    floor_lag: Family<SubscriptionLabel, Gauge>,
    handler_duration: Family<SubscriptionLabel, Histogram>,
    unsealed_age: Gauge<f64, AtomicU64>,
}

/// The metrics of one subscription.
#[derive(Clone)]
pub(crate) struct SubscriptionMetrics {
    /// Events whose handler ran and whose position moved.
    pub delivered: Counter,
    /// Calls of the handler that failed.
    pub failed: Counter,
    /// Attempts after a failure, in memory or by replay.
    pub retried: Counter,
    /// Plans parked.
    pub parked: Counter,
    /// Plans deferred to replay.
    pub deferred: Counter,
    /// Plans stopped at a dead letter.
    pub dead: Counter,
    /// Messages of events that were applied already.
    pub duplicates: Counter,
    /// Events read from the ledger because their messages were missing.
    pub gaps_filled: Counter,
    /// Plans stopped at a fork. Any increase is an alarm.
    pub forks: Counter,
    /// Messages or rows whose seal does not hold. Any increase is an alarm.
    pub refused: Counter,
    /// Reads of an event that the ledger should have and lacks. Any increase is an alarm.
    pub missing: Counter,
    /// Effects undone because the position was not where it was read.
    pub fenced: Counter,
    /// Assignments of this process.
    pub assignments: Gauge,
    /// Sealed events above the floors. The youngest events are always among them.
    pub floor_lag: Gauge,
    handler_duration: Histogram,
}

impl SubscriptionMetrics {
    pub(crate) fn observe_handler(&self, duration: Duration) {
        self.handler_duration.observe(duration.as_secs_f64());
    }
}

/// Adds a number of events or plans to a counter.
pub(crate) fn add(counter: &Counter, count: usize) {
    counter.inc_by(u64::try_from(count).expect("a usize has at most 64 bits"));
}

impl Metrics {
    /// Registers all metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            delivered: Family::default(),
            failed: Family::default(),
            retried: Family::default(),
            parked: Family::default(),
            deferred: Family::default(),
            dead: Family::default(),
            duplicates: Family::default(),
            gaps_filled: Family::default(),
            forks: Family::default(),
            refused: Family::default(),
            missing: Family::default(),
            fenced: Family::default(),
            assignments: Family::default(),
            floor_lag: Family::default(),
            unsealed_age: Gauge::default(),
            handler_duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
        };
        let counters = [
            ("delivered", "Events whose handler ran and whose position moved", &metrics.delivered),
            ("failed", "Calls of a handler that failed", &metrics.failed),
            ("retried", "Attempts after a failure", &metrics.retried),
            ("parked", "Plans parked", &metrics.parked),
            ("behind", "Plans deferred, to be replayed from the ledger", &metrics.deferred),
            ("dead", "Plans stopped at a dead letter", &metrics.dead),
            ("duplicates", "Messages of events that were applied already", &metrics.duplicates),
            ("gaps_filled", "Events read from the ledger because their messages were missing", &metrics.gaps_filled),
            ("forks", "Plans stopped because two sealed events claim the same seq", &metrics.forks),
            ("refused_seals", "Events refused because their seal does not hold", &metrics.refused),
            ("missing", "Reads of an event that the ledger should have and lacks", &metrics.missing),
            ("fenced", "Effects undone because the position had moved", &metrics.fenced),
        ];
        for (name, help, family) in counters {
            registry.register(format!("sealbus_consumer_{name}"), help, family.clone());
        }
        registry.register(
            "sealbus_consumer_shares",
            "Partitions of subscriptions that this process works on",
            metrics.assignments.clone(),
        );
        registry.register("sealbus_consumer_floor_lag", "Sealed events above the floors", metrics.floor_lag.clone());
        registry.register_with_unit(
            "sealbus_consumer_unsealed_age",
            "Age of the oldest event without a leaf; while sealing is stopped, floors do not move",
            Unit::Seconds,
            metrics.unsealed_age.clone(),
        );
        registry.register_with_unit(
            "sealbus_consumer_handler_duration",
            "Duration of the calls of handlers",
            Unit::Seconds,
            metrics.handler_duration.clone(),
        );
        metrics
    }

    /// Returns the age of the oldest event without a leaf, in seconds.
    pub(crate) fn unsealed_age(&self) -> Gauge<f64, AtomicU64> {
        self.unsealed_age.clone()
    }

    /// Returns the metrics of one subscription, which are exported from now on.
    pub(crate) fn for_subscription(&self, subscription: &str) -> SubscriptionMetrics {
        let label = SubscriptionLabel { subscription: subscription.to_owned() };
        SubscriptionMetrics {
            delivered: self.delivered.get_or_create_owned(&label),
            failed: self.failed.get_or_create_owned(&label),
            retried: self.retried.get_or_create_owned(&label),
            parked: self.parked.get_or_create_owned(&label),
            deferred: self.deferred.get_or_create_owned(&label),
            dead: self.dead.get_or_create_owned(&label),
            duplicates: self.duplicates.get_or_create_owned(&label),
            gaps_filled: self.gaps_filled.get_or_create_owned(&label),
            forks: self.forks.get_or_create_owned(&label),
            refused: self.refused.get_or_create_owned(&label),
            missing: self.missing.get_or_create_owned(&label),
            fenced: self.fenced.get_or_create_owned(&label),
            assignments: self.assignments.get_or_create_owned(&label),
            floor_lag: self.floor_lag.get_or_create_owned(&label),
            handler_duration: self.handler_duration.get_or_create_owned(&label),
        }
    }
}
