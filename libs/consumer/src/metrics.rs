//! The metrics of the runtime, most of them by subscription. They are registered once in a process.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_runtime::telemetry::metrics::{self, MetricGroup};

/// The label `subscription` with its value.
type Label = metrics::Label<String>;

/// A gauge of seconds.
type Age = Gauge<f64, AtomicU64>;

/// A metric with the label of its subscription.
type Labelled<M> = Family<Label, M>;

/// The families of the metrics that exist for each subscription.
type Families = BySubscription<Labelled<Counter>, Labelled<Gauge>, Labelled<Histogram>>;

/// All metrics of the runtime.
#[derive(Clone)]
pub struct Metrics {
    by_subscription: Families,
    standing_floors_now: Labelled<Gauge>,
    /// It includes leaves that are too young for the sweep.
    floor_age: Labelled<Age>,
    positions: Family<StateLabels, Gauge>,
    position_age: Family<StateLabels, Age>,
}

/// A subscription, and a state of its positions.
type StateLabels = [(&'static str, String); 2];

/// The counters `C`, gauges `G`, and histogram `H` that exist for each subscription: the families, or the metrics of one
/// subscription. The help texts in [`Metrics::register`] say what they count.
#[derive(Clone)]
pub(crate) struct BySubscription<C, G, H> {
    pub delivered: C,
    pub failed: C,
    pub retried: C,
    pub parked: C,
    pub deferred: C,
    pub dead: C,
    pub duplicates: C,
    pub gaps_filled: C,
    /// Any increase is an alarm.
    pub forks: C,
    /// Any increase is an alarm.
    pub refused: C,
    /// Any increase is an alarm.
    pub missing: C,
    pub fenced: C,
    pub assignments: G,
    handler_duration: H,
}

/// The metrics of one subscription.
pub(crate) type SubscriptionMetrics = BySubscription<Counter, Gauge, Histogram>;

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
        let mut group = MetricGroup::new(registry, "sealbus_consumer");
        let mut counter = |name: &str, help: &str| group.register::<Family<Label, Counter>>(name, help);
        let by_subscription = BySubscription {
            delivered: counter("delivered", "Events whose handler ran and whose position moved"),
            failed: counter("failed", "Calls of a handler that failed"),
            retried: counter("retried", "Attempts after a failure"),
            parked: counter("parked", "Plans parked"),
            deferred: counter("behind", "Plans deferred, to be replayed from the ledger"),
            dead: counter("dead", "Plans stopped at a dead letter"),
            duplicates: counter("duplicates", "Messages of events that were applied already"),
            gaps_filled: counter("gaps_filled", "Events read from the ledger because their messages were missing"),
            forks: counter("forks", "Plans stopped because two sealed events claim the same seq"),
            refused: counter("refused_seals", "Events refused because their seal does not hold"),
            missing: counter("missing", "Reads of an event that the ledger should have and lacks"),
            fenced: counter("fenced", "Effects undone because the position had moved"),
            assignments: group.register("shares", "Partitions of subscriptions that this process works on"),
            handler_duration: group.register_seconds::<Labelled<Histogram>>(
                "handler_duration",
                "Duration of the calls of handlers",
                Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
            ),
        };
        Self {
            by_subscription,
            standing_floors_now: group.register(
                "standing_floors_now",
                "Floors that the last check found where the check before had found them, below an old leaf",
            ),
            floor_age: group.register_seconds(
                "floor_age",
                "Age of the oldest leaf at or above the floors; 0 if the floors are above all leaves",
                Family::default(),
            ),
            positions: group
                .register("positions", "Plans that are not live now, by state, at most 2000 for each partition"),
            position_age: group.register_seconds(
                "position_age",
                "Time since the plan moved that has not moved for longest, by state; 0 without a plan in the state",
                Family::default(),
            ),
        }
    }

    /// Sets the numbers of positions by subscription and state, and the ages of the oldest in seconds. Subscriptions that are not
    /// among them are not exported any more.
    pub(crate) fn set_positions<'a>(&self, states: impl IntoIterator<Item = (&'a str, PositionState, u64, f64)>) {
        self.positions.clear();
        self.position_age.clear();
        for (subscription, state, positions, age) in states {
            let labels = [("subscription", subscription.to_owned()), ("state", state.as_str().to_owned())];
            self.positions.get_or_create(&labels).set(i64::try_from(positions).unwrap_or(i64::MAX));
            self.position_age.get_or_create(&labels).set(age);
        }
    }

    /// Sets the number of floors that stand still by subscription. Subscriptions that are not among them are not exported any
    /// more.
    pub(crate) fn set_standing_floors<'a>(&self, counts: impl IntoIterator<Item = (&'a str, i64)>) {
        self.standing_floors_now.clear();
        for (subscription, count) in counts {
            self.standing_floors_now.get_or_create(&[("subscription", subscription.to_owned())]).set(count);
        }
    }

    /// Sets the ages in seconds of the oldest leaves above the floors by subscription. Subscriptions that are not among them are
    /// not exported any more.
    pub(crate) fn set_floor_ages<'a>(&self, ages: impl IntoIterator<Item = (&'a str, f64)>) {
        self.floor_age.clear();
        for (subscription, age) in ages {
            self.floor_age.get_or_create(&[("subscription", subscription.to_owned())]).set(age);
        }
    }

    /// Returns the metrics of one subscription, which are exported from now on.
    pub(crate) fn for_subscription(&self, subscription: &str) -> SubscriptionMetrics {
        let label = [("subscription", subscription.to_owned())];
        let counter = |family: &Family<Label, Counter>| family.get_or_create_owned(&label);
        let all = &self.by_subscription;
        BySubscription {
            delivered: counter(&all.delivered),
            failed: counter(&all.failed),
            retried: counter(&all.retried),
            parked: counter(&all.parked),
            deferred: counter(&all.deferred),
            dead: counter(&all.dead),
            duplicates: counter(&all.duplicates),
            gaps_filled: counter(&all.gaps_filled),
            forks: counter(&all.forks),
            refused: counter(&all.refused),
            missing: counter(&all.missing),
            fenced: counter(&all.fenced),
            assignments: all.assignments.get_or_create_owned(&label),
            handler_duration: all.handler_duration.get_or_create_owned(&label),
        }
    }
}
