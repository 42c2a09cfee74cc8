//! Periodic work beside the sweep: the alarm for floors that stand still, the age of floors, and pruning. Each is a task of its
//! own, so that none waits for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::assignment::{Assignment, HeldAssignments, ProcessContext, SubscriptionContext};
use crate::metrics::Metrics;
use crate::ticks::Ticks;

/// The most positions that one statement of pruning examines.
const MAX_EXAMINED: u32 = 1_000;

/// Raises an alarm for each floor of this process that stands still: it has not moved since the last check, and an old leaf lies
/// above it.
pub(crate) async fn watch_floors(
    process: Arc<ProcessContext>,
    held: Arc<HeldAssignments>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let alarm_age = process.settings.floor_alarm_age;
    let min_age = process.settings.sweep_min_age + alarm_age;
    let mut ticks = Ticks::new(Duration::ZERO, alarm_age, &shutdown);
    // The floors of the last check, by subscription number and partition.
    let mut behind = BTreeMap::new();
    while ticks.next().await {
        let assignments = held.by_partition(process.ledger.deployment().partitions);
        let numbers: Vec<i64> = assignments.keys().map(|(number, _)| *number).collect();
        let found = match process.ledger.floors().behind(&numbers, min_age).await {
            Ok(found) => found,
            Err(error) => {
                warn!(error = %error_chain(&error), "floors cannot be compared; retrying later");
                continue;
            }
        };
        let mut now_behind = BTreeMap::new();
        let mut standing: BTreeMap<i64, i64> = assignments.keys().map(|(number, _)| (*number, 0)).collect();
        for (number, partition, floor) in found {
            let Some(held) = assignments.get(&(number, partition)) else { continue };
            if behind.get(&(number, partition)) == Some(&floor) {
                *standing.entry(number).or_default() += 1;
                error!(
                    subscription = &*held.assignment.context.name,
                    partition,
                    floor,
                    "a floor stands still, so lost messages are not found; see the warnings of the sweep"
                );
            }
            now_behind.insert((number, partition), floor);
        }
        metrics.set_standing_floors(
            assignments.iter().map(|((number, _), held)| (&*held.assignment.context.name, standing[number])),
        );
        behind = now_behind;
    }
}

/// Measures the age of the oldest leaf above the floors of the subscriptions that this process works on.
pub(crate) async fn measure_ages(
    process: Arc<ProcessContext>,
    held: Arc<HeldAssignments>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let period = process.settings.sweep_interval;
    let mut ticks = Ticks::new(period, period, &shutdown);
    while ticks.next().await {
        let assignments = assignment_by_subscription(&process, &held);
        let subscriptions: Vec<i64> = assignments.keys().copied().collect();
        match process.ledger.floors().ages(&subscriptions).await {
            Ok(ages) => metrics.set_floor_ages(ages.into_iter().filter_map(|(subscription_no, age)| {
                assignments.get(&subscription_no).map(|assignment| (&*assignment.context.name, age))
            })),
            Err(error) => warn!(error = %error_chain(&error), "age of the floors cannot be read; retrying later"),
        }
    }
}

/// Takes back the interrupted attempts of plans that this process does not replay any more.
pub(crate) async fn take_back_attempts(process: Arc<ProcessContext>, shutdown: CancellationToken) {
    let mut ticks = Ticks::new(Duration::ZERO, process.settings.replay_interval, &shutdown);
    while ticks.next().await {
        let taking_back = process.interrupted.take_back(process.ledger.positions(), |_| true);
        if let Some(Err(error)) = shutdown.run_until_cancelled(taking_back).await {
            debug!(error = %error_chain(&error), "interrupted attempts cannot be taken back; retrying later");
        }
    }
}

/// Prunes the positions of the subscriptions that this process works on.
pub(crate) async fn prune(process: Arc<ProcessContext>, held: Arc<HeldAssignments>, shutdown: CancellationToken) {
    let period = process.settings.prune_interval;
    let mut ticks = Ticks::new(period, period, &shutdown);
    while ticks.next().await {
        for assignment in assignment_by_subscription(&process, &held).values() {
            if let Err(error) = prune_positions(&assignment.context, &shutdown).await {
                let (subscription, error) = (&*assignment.context.name, error_chain(&error));
                warn!(subscription, error, "idle positions cannot be pruned; retrying later");
            }
        }
    }
}

async fn prune_positions(subscription: &SubscriptionContext, shutdown: &CancellationToken) -> Result<(), LedgerError> {
    let (positions, retention) = (subscription.ledger().positions(), &subscription.settings().retention);
    let (mut total, mut after) = (0, Some(0));
    while let Some(plan_no) = after.filter(|_| !shutdown.is_cancelled()) {
        let (pruned, next) = positions.prune(subscription.subscription_no, plan_no, retention, MAX_EXAMINED).await?;
        (total, after) = (total + pruned, next);
    }
    if total > 0 {
        info!(subscription = %subscription.name, pruned = total, "idle positions pruned");
    }
    Ok(())
}

/// Returns one assignment of each subscription that this process works on, by the subscription's number.
fn assignment_by_subscription(process: &ProcessContext, held: &HeldAssignments) -> BTreeMap<i64, Arc<Assignment>> {
    let all = held.by_partition(process.ledger.deployment().partitions);
    all.into_iter().map(|((subscription_no, _), held)| (subscription_no, held.assignment)).collect()
}
