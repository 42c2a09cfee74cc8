//! The metrics of the runtime, most of them by subscription. They are registered once in a process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sealbus_runtime::telemetry::metrics::{self, MetricGroup};

/// The label `subscription` with its value.
type Label = metrics::Label<String>;

/// A metric with the label of its subscription.
type Labelled<M> = Family<Label, M>;

/// The families of the metrics that exist for each subscription.
type Families = BySubscription<Labelled<Counter>, Labelled<Gauge>, Labelled<Histogram>>;

/// All metrics of the runtime.
#[derive(Clone)]
pub struct Metrics {
    by_subscription: Families,
    standing_floors_now: Measured<Label, i64>,
    /// It includes leaves that are too young for the sweep.
    floor_age: Measured<Label, f64>,
    positions: Measured<StateLabels, i64>,
    position_age: Measured<StateLabels, f64>,
}

/// A family of gauges whose values come from one measurement, which replaces all of them at once.
#[derive(Clone, Debug)]
struct Measured<L, V>(Arc<Mutex<BTreeMap<L, V>>>);

impl<L: Ord, V> Measured<L, V> {
    /// Replaces all values. Labels that are not among the new ones are not exported any more.
    fn replace(&self, values: impl IntoIterator<Item = (L, V)>) {
        let values = values.into_iter().collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = values;
    }
}

impl<L, V> Default for Measured<L, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<L, V> EncodeMetric for Measured<L, V>
where
    L: EncodeLabelSet + fmt::Debug + Send + 'static,
    V: EncodeGaugeValue + fmt::Debug + Send + 'static,
{
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.iter().try_for_each(|(labels, value)| encoder.encode_family(labels)?.encode_gauge(value))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
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

fn label(subscription: &str) -> Label {
    [("subscription", subscription.to_owned())]
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
                Measured::default(),
            ),
            positions: group
                .register("positions", "Plans that are not live now, by state, at most 2000 for each partition"),
            position_age: group.register_seconds(
                "position_age",
                "Time since the plan moved or stopped being live that has done neither for longest, by state; 0 without a plan in the state",
                Measured::default(),
            ),
        }
    }

    /// Sets the numbers of positions by subscription and state, and the ages of the oldest in seconds. Subscriptions that are not
    /// among them are not exported any more.
    pub(crate) fn set_positions<'a>(&self, states: impl IntoIterator<Item = (&'a str, &'static str, u64, f64)>) {
        let (positions, ages): (Vec<_>, Vec<_>) = states
            .into_iter()
            .map(|(subscription, state, positions, age)| {
                let labels = [("subscription", subscription.to_owned()), ("state", state.to_owned())];
                ((labels.clone(), i64::try_from(positions).unwrap_or(i64::MAX)), (labels, age))
            })
            .unzip();
        self.positions.replace(positions);
        self.position_age.replace(ages);
    }

    /// Sets the number of floors that stand still by subscription. Subscriptions that are not among them are not exported any
    /// more.
    pub(crate) fn set_standing_floors<'a>(&self, counts: impl IntoIterator<Item = (&'a str, i64)>) {
        self.standing_floors_now.replace(counts.into_iter().map(|(subscription, count)| (label(subscription), count)));
    }

    /// Sets the ages in seconds of the oldest leaves above the floors by subscription. Subscriptions that are not among them are
    /// not exported any more.
    pub(crate) fn set_floor_ages<'a>(&self, ages: impl IntoIterator<Item = (&'a str, f64)>) {
        self.floor_age.replace(ages.into_iter().map(|(subscription, age)| (label(subscription), age)));
    }

    /// Returns the metrics of one subscription, which are exported from now on.
    pub(crate) fn for_subscription(&self, subscription: &str) -> SubscriptionMetrics {
        let label = label(subscription);
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

#[cfg(test)]
mod tests {
    use std::thread;

    use sealbus_runtime::telemetry::metrics::exposition;

    use super::*;

    fn standing_floors(registry: &Registry) -> Vec<String> {
        let text = exposition(registry);
        let values = text.lines().filter_map(|line| line.strip_prefix("sealbus_consumer_standing_floors_now"));
        values.map(str::to_owned).collect()
    }

    #[test]
    fn a_measurement_replaces_all_values_of_the_one_before() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.set_standing_floors([("audit", 1), ("other", 0)]);
        assert_eq!(standing_floors(&registry), [r#"{subscription="audit"} 1"#, r#"{subscription="other"} 0"#]);

        // A subscription with several partitions has one series.
        metrics.set_standing_floors([("other", 2), ("other", 2)]);
        assert_eq!(standing_floors(&registry), [r#"{subscription="other"} 2"#]);
    }

    #[test]
    fn a_measurement_leaves_no_moment_without_values() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.set_standing_floors([("audit", 1)]);
        thread::scope(|scope| {
            let measuring = scope.spawn(|| (0..10_000).for_each(|_| metrics.set_standing_floors([("audit", 1)])));
            while !measuring.is_finished() {
                assert_eq!(standing_floors(&registry), [r#"{subscription="audit"} 1"#]);
            }
        });
    }
}
