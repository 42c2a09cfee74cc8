//! The sweep: why every event reaches every subscription as long as the ledger lives (PROTOCOL, Consume, rule 1).
//!
//! A walk over the leaves of a partition, in log order, for all subscriptions that this process holds there. Each leaf is
//! passed, or its plan is left behind for replay; the floor follows. A leaf never goes into memory.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use sealbus_ledger::delivery::floors::SweptLeaf;
use sealbus_ledger::delivery::parking::SetAside;
use sealbus_ledger::delivery::positions::{Standing, State};
use sealbus_ledger::{Ledger, LedgerError};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::assignment::Share;
use crate::assignment::held::HeldShares;
use crate::settings::Settings;

/// Leaves in one step of the walk.
const STEP: u32 = 500;
/// Positions pruned in one statement.
const PRUNE: u32 = 1_000;

/// Sweeps, and prunes now and then, until the process ends.
pub(crate) async fn sweep(
    ledger: Ledger,
    held: Arc<HeldShares>,
    settings: Settings,
    unsealed: Gauge<f64, AtomicU64>,
    shutdown: CancellationToken,
) {
    let mut tick = interval(settings.sweep_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pruned = Instant::now();
    let mut looked: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let prune = pruned.elapsed() >= settings.prune_every;
        if prune {
            pruned = Instant::now();
        }
        if looked.is_none_or(|looked| looked.elapsed() >= settings.sealing_alarm) {
            looked = Some(Instant::now());
            watch_sealing(&ledger, &unsealed, settings.sealing_alarm).await;
        }
        if let Err(error) = round(&ledger, &held, &settings, prune, &shutdown).await {
            warn!(%error, "the sweep stops until the ledger answers");
        }
    }
}

/// If sealing stops, floors stop, and nothing that the stream loses is found any more: that is an alarm.
async fn watch_sealing(ledger: &Ledger, unsealed: &Gauge<f64, AtomicU64>, alarm: Duration) {
    // A ledger that is away is said elsewhere.
    let Ok((waiting, oldest)) = ledger.log().backlog().await else { return };
    unsealed.set(oldest);
    if oldest > alarm.as_secs_f64() {
        error!(
            waiting,
            oldest_seconds = oldest,
            "sealing has stopped or cannot keep up: floors stand still, lost messages are not found"
        );
    }
}

async fn round(
    ledger: &Ledger,
    held: &HeldShares,
    settings: &Settings,
    prune: bool,
    shutdown: &CancellationToken,
) -> Result<(), LedgerError> {
    let mut partitions: BTreeMap<u32, Vec<Share>> = BTreeMap::new();
    for ((_, partition), held) in held.by_partition(ledger.deployment().partitions) {
        partitions.entry(partition).or_default().push(held.share);
    }
    for (partition, shares) in &partitions {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        walk(ledger, *partition, shares, settings).await?;
    }
    let subscriptions: BTreeMap<i64, &Share> =
        partitions.values().flatten().map(|share| (share.worked.subscription_no, share)).collect();
    for (subscription_no, lag) in ledger.floors().lags(&subscriptions.keys().copied().collect::<Vec<_>>()).await? {
        if let Some(share) = subscriptions.get(&subscription_no) {
            share.worked.metrics.floor_lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
        }
    }
    if prune {
        for (subscription_no, share) in &subscriptions {
            let mut pruned = 0;
            loop {
                let some = ledger.positions().prune(*subscription_no, settings.prune_idle, PRUNE).await?;
                pruned += some;
                if some < u64::from(PRUNE) {
                    break;
                }
            }
            if pruned > 0 {
                info!(subscription = %share.worked.name, pruned, "positions at rest were pruned");
            }
        }
    }
    Ok(())
}

/// One walk over a partition's leaves, from the lowest floor to the first leaf that is too young.
async fn walk(ledger: &Ledger, partition: u32, shares: &[Share], settings: &Settings) -> Result<(), LedgerError> {
    let numbers: Vec<i64> = shares.iter().map(|share| share.worked.subscription_no).collect();
    let mut floors: BTreeMap<i64, u64> = ledger.floors().read(&numbers, partition).await?.into_iter().collect();
    while let Some(from) = floors.values().min().copied() {
        let leaves = ledger.floors().leaves(partition, from, settings.sweep_age, STEP).await?;
        let Some(last) = leaves.last().map(|leaf| leaf.index) else { return Ok(()) };
        for share in shares {
            let number = share.worked.subscription_no;
            let Some(floor) = floors.get(&number).copied().filter(|floor| *floor <= last) else { continue };
            let mine: Vec<&SweptLeaf> = leaves.iter().filter(|leaf| leaf.index >= floor).collect();
            let passed = if share.lease.is_held() { share.pass(&mine).await? } else { floor };
            let moved = passed > floor && ledger.floors().advance(number, partition, floor, passed).await?;
            if moved && passed > last {
                floors.insert(number, passed);
            } else {
                // It stops here, or another process moves the floor: the next walk begins where it stands then.
                floors.remove(&number);
            }
        }
    }
    Ok(())
}

impl Share {
    /// Sees to it that leaves are applied or owed. Gives the log index up to which they are.
    async fn pass(&self, leaves: &[&SweptLeaf]) -> Result<u64, LedgerError> {
        let (worked, ledger) = (&self.worked, self.worked.ledger());
        let mut plans: BTreeMap<i64, Vec<Step>> = BTreeMap::new();
        for leaf in leaves.iter().filter(|leaf| worked.spec.follows(&leaf.tenant)) {
            let wanted =
                leaf.event_type.as_ref().is_none_or(|event_type| worked.spec.runs_for(&leaf.tenant, event_type));
            plans.entry(leaf.plan_no).or_default().push(Step { seq: leaf.seq, wanted });
        }
        let standings =
            ledger.positions().read(worked.subscription_no, &plans.keys().copied().collect::<Vec<_>>()).await?;
        let (mut seen, mut behind, mut stuck) = (Vec::new(), Vec::new(), HashSet::new());
        for (plan_no, steps) in &plans {
            let highest = steps.iter().map(|step| step.seq).max().unwrap_or(0);
            match standings.get(plan_no).map(|standing| (standing, judge(standing, steps))) {
                None => _ = stuck.insert(*plan_no),
                Some((_, Judgement::Passed)) => {}
                Some((_, Judgement::Seen)) => seen.push((*plan_no, highest)),
                Some((standing, Judgement::Behind)) => behind.push((standing, highest)),
                Some((standing, Judgement::Fork)) => {
                    if !self.stop_at_fork(standing, highest).await? {
                        stuck.insert(*plan_no);
                    }
                }
            }
        }
        if !seen.is_empty() {
            let hit: HashSet<i64> =
                ledger.positions().mark_seen(worked.subscription_no, &seen).await?.into_iter().collect();
            stuck.extend(seen.iter().map(|(plan_no, _)| *plan_no).filter(|plan_no| !hit.contains(plan_no)));
        }
        if !behind.is_empty() {
            let left: HashSet<i64> = ledger
                .positions()
                .defer(worked.subscription_no, self.lease.epoch_of(), &behind)
                .await?
                .into_iter()
                .collect();
            worked.metrics.behind.inc_by(left.len() as u64);
            stuck.extend(behind.iter().map(|(standing, _)| standing.plan_no).filter(|plan_no| !left.contains(plan_no)));
        }
        let first_stuck = leaves.iter().find(|leaf| stuck.contains(&leaf.plan_no)).map(|leaf| leaf.index);
        Ok(first_stuck.or(leaves.last().map(|leaf| leaf.index + 1)).unwrap_or(0))
    }

    async fn stop_at_fork(&self, standing: &Standing, seen: u64) -> Result<bool, LedgerError> {
        let worked = &self.worked;
        let reason = format!(
            "event {} was applied as {}, and the ledger holds another, or none",
            standing.next_seq - 1,
            standing.last_hash
        );
        let aside = SetAside {
            state: State::Fork,
            seen_seq: seen,
            attempts: standing.attempts,
            retry_in: None,
            errors: std::slice::from_ref(&reason),
        };
        let stopped = worked
            .ledger()
            .positions()
            .set_aside(worked.subscription_no, self.lease.epoch_of(), standing, &aside)
            .await?;
        if stopped {
            worked.metrics.forks.inc();
            error!(subscription = %worked.name, plan_no = standing.plan_no, reason, "fork: the plan stops until an operator settles it");
        }
        Ok(stopped)
    }
}

/// A leaf of one plan.
#[derive(Clone, Copy, Debug)]
struct Step {
    seq: u64,
    wanted: bool,
}

/// What the sweep does about the leaves of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// They are applied, or unwanted.
    Passed,
    /// The position owes them: note it.
    Seen,
    /// They are neither: the plan is left behind.
    Behind,
    /// What was applied is not what the ledger holds.
    Fork,
}

fn judge(standing: &Standing, steps: &[Step]) -> Judgement {
    if standing.state != State::Live {
        return Judgement::Seen;
    }
    if !standing.agrees && steps.iter().any(|step| step.seq < standing.next_seq) {
        return Judgement::Fork;
    }
    if steps.iter().any(|step| step.seq >= standing.next_seq && step.wanted) {
        Judgement::Behind
    } else {
        Judgement::Passed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealbus_core::hash::Hash;

    use super::*;

    fn standing(next_seq: u64, state: State, agrees: bool) -> Standing {
        Standing {
            plan_no: 1,
            next_seq,
            last_hash: Hash([1; 32]),
            seen_seq: 0,
            state,
            stored: true,
            attempts: 0,
            ask: None,
            agrees,
        }
    }

    proptest! {
        /// A leaf is passed without a word only when it is applied, by the ledger's own chain, or unwanted.
        #[test]
        fn nothing_owed_is_passed(next_seq in 2..20_u64, steps in prop::collection::vec((1..20_u64, any::<bool>()), 1..20), agrees: bool) {
            let steps: Vec<Step> = steps.into_iter().map(|(seq, wanted)| Step { seq, wanted }).collect();
            match judge(&standing(next_seq, State::Live, agrees), &steps) {
                Judgement::Passed => {
                    prop_assert!(steps.iter().all(|step| step.seq < next_seq && agrees || step.seq >= next_seq && !step.wanted));
                }
                Judgement::Fork => prop_assert!(!agrees),
                Judgement::Behind => prop_assert!(steps.iter().any(|step| step.seq >= next_seq && step.wanted)),
                Judgement::Seen => prop_assert!(false, "a live position owes nothing"),
            }
            for state in [State::Behind, State::Parked, State::Dead, State::Fork] {
                prop_assert_eq!(judge(&standing(next_seq, state, agrees), &steps), Judgement::Seen);
            }
        }
    }
}
