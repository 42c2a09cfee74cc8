//! The sweep, because of which every event reaches every subscription while the ledger exists
//! (docs/spec/protocol.md#consume-1).
//!
//! A sweep walks over the leaves of each partition in log order, for all subscriptions that this process works on
//! there. Each leaf is passed, or its plan is deferred to replay; the floor moves up to the first leaf that is neither.
//! A sweep reads no event.

pub(crate) mod due;
mod leaves;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use sealbus_core::error_chain;
use sealbus_ledger::delivery::floors::SweptLeaf;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use self::leaves::pass;
use crate::assignment::{Assignment, HeldAssignments, ProcessContext, SubscriptionContext};

/// The most leaves that are read at once.
const MAX_LEAVES: u32 = 500;
/// The most positions that one statement of pruning examines.
const MAX_EXAMINED: u32 = 1_000;

/// Sweeps periodically, and prunes positions less often, until the process ends.
pub(crate) async fn sweep(
    process: Arc<ProcessContext>,
    held: Arc<HeldAssignments>,
    unsealed_age: Gauge<f64, AtomicU64>,
    shutdown: CancellationToken,
) {
    let settings = &process.settings;
    let mut tick = interval(settings.sweep_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut pruned, mut sealing_checked) = (Instant::now(), None::<Instant>);
    let mut floors_behind = BTreeMap::new();
    // A tick that is overdue is ready at once and would win over the cancellation.
    while !shutdown.is_cancelled() && shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        if sealing_checked.is_none_or(|checked| checked.elapsed() >= settings.sealing_alarm_age) {
            sealing_checked = Some(Instant::now());
            check_sealing(&process.ledger, &unsealed_age, settings.sealing_alarm_age).await;
            check_floors(&process, &held, &mut floors_behind).await;
        }
        let prune = pruned.elapsed() >= settings.prune_interval;
        if prune {
            pruned = Instant::now();
        }
        if let Err(error) = sweep_once(&process, &held, prune, &shutdown).await {
            warn!(error = %error_chain(&error), "sweep failed; it is repeated at the next interval");
        }
    }
}

/// Raises an alarm if sealing has stopped: then floors stop too, and what the stream loses is no longer found.
async fn check_sealing(ledger: &Ledger, unsealed_age: &Gauge<f64, AtomicU64>, alarm: Duration) {
    // The sweep that follows reports a ledger that cannot be read.
    let Ok(oldest) = ledger.log().oldest_unsealed().await else { return };
    unsealed_age.set(oldest);
    if oldest > alarm.as_secs_f64() {
        error!(oldest_seconds = oldest, "sealing has stopped or is too slow; lost messages are not found");
    }
}

/// Raises an alarm for each floor of this process that stands still: it has not moved since the last check, and an old leaf
/// lies above it. `behind` are the floors of the last check, by subscription number and partition.
async fn check_floors(process: &ProcessContext, held: &HeldAssignments, behind: &mut BTreeMap<(i64, u32), u64>) {
    let assignments = held.by_partition(process.ledger.deployment().partitions);
    let numbers: Vec<i64> = assignments.keys().map(|(number, _)| *number).collect();
    let age = process.settings.sweep_min_age + process.settings.sealing_alarm_age;
    // The sweep that follows reports a ledger that cannot be read.
    let Ok(found) = process.ledger.floors().behind(&numbers, age).await else { return };
    let mut now_behind = BTreeMap::new();
    for (number, partition, floor) in found {
        let Some(held) = assignments.get(&(number, partition)) else { continue };
        if behind.get(&(number, partition)) == Some(&floor) {
            let subscription = &held.assignment.context;
            subscription.metrics.standing_floors.inc();
            error!(
                subscription = &*subscription.name,
                partition, floor, "a floor stands still, so lost messages are not found; see the warnings of the sweep"
            );
        }
        now_behind.insert((number, partition), floor);
    }
    *behind = now_behind;
}

async fn sweep_once(
    process: &ProcessContext,
    held: &HeldAssignments,
    prune: bool,
    shutdown: &CancellationToken,
) -> Result<(), LedgerError> {
    let ledger = &process.ledger;
    let mut partitions: BTreeMap<u32, Vec<Arc<Assignment>>> = BTreeMap::new();
    for ((_, partition), held) in held.by_partition(ledger.deployment().partitions) {
        partitions.entry(partition).or_default().push(held.assignment);
    }
    for (partition, assignments) in &partitions {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        walk(process, *partition, assignments).await?;
    }
    let subscriptions: BTreeMap<i64, &SubscriptionContext> = partitions
        .values()
        .flatten()
        .map(|assignment| (assignment.context.subscription_no, assignment.context.as_ref()))
        .collect();
    for (subscription_no, age) in ledger.floors().ages(&subscriptions.keys().copied().collect::<Vec<_>>()).await? {
        if let Some(subscription) = subscriptions.get(&subscription_no) {
            subscription.metrics.floor_age.set(age);
        }
    }
    if prune {
        for subscription in subscriptions.values() {
            prune_positions(subscription).await?;
        }
    }
    Ok(())
}

async fn prune_positions(subscription: &SubscriptionContext) -> Result<(), LedgerError> {
    let (positions, retention) = (subscription.ledger().positions(), &subscription.settings().retention);
    let (mut total, mut after) = (0, Some(0));
    while let Some(plan_no) = after {
        let (pruned, next) = positions.prune(subscription.subscription_no, plan_no, retention, MAX_EXAMINED).await?;
        (total, after) = (total + pruned, next);
    }
    if total > 0 {
        info!(subscription = %subscription.name, pruned = total, "idle positions pruned");
    }
    Ok(())
}

/// Walks once over the leaves of a partition, from the lowest floor up to the first leaf that is too young.
async fn walk(process: &ProcessContext, partition: u32, assignments: &[Arc<Assignment>]) -> Result<(), LedgerError> {
    let stored = process.ledger.floors();
    let numbers: Vec<i64> = assignments.iter().map(|assignment| assignment.context.subscription_no).collect();
    let mut floors: BTreeMap<i64, u64> = stored.read(&numbers, partition).await?.into_iter().collect();
    while let Some(from) = floors.values().min().copied() {
        let leaves = stored.leaves(partition, from, process.settings.sweep_min_age, MAX_LEAVES).await?;
        let Some(last) = leaves.last().map(|leaf| leaf.index) else { return Ok(()) };
        for assignment in assignments {
            let number = assignment.context.subscription_no;
            let Some(floor) = floors.get(&number).copied().filter(|floor| *floor <= last) else { continue };
            let above_floor: Vec<&SweptLeaf> = leaves.iter().filter(|leaf| leaf.index >= floor).collect();
            let passed = if assignment.lease.still_held() {
                pass(assignment, &above_floor).instrument(assignment.span()).await?
            } else {
                floor
            };
            let moved = passed > floor && stored.advance(number, partition, floor, passed).await?;
            if moved && passed > last {
                floors.insert(number, passed);
            } else {
                // This walk ends here for the subscription, or another process moves the floor. The next walk begins at
                // the floor that is stored then.
                floors.remove(&number);
            }
        }
    }
    Ok(())
}
