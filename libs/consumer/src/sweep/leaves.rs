//! The sweep of one subscription over some leaves: each is passed, noted as seen, or has its plan deferred or stopped.

use std::collections::{BTreeMap, HashSet};

use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::floors::SweptLeaf;
use sealbus_ledger::delivery::parking::{Locked, SetAside};
use sealbus_ledger::delivery::positions::{Position, PositionState};
use tracing::error;

use crate::assignment::Assignment;
use crate::metrics;

/// A leaf of one plan.
#[derive(Clone, Copy, Debug)]
struct PlanLeaf {
    seq: u64,
    /// Whether the subscription's handler runs for the event.
    wanted: bool,
}

/// The action of the sweep on the leaves of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SweepAction {
    /// Do nothing, because the leaves are applied, or no handler runs for them.
    Pass,
    /// Record the leaves as seen, because the position is not live. Replay applies them.
    MarkSeen,
    /// Defer the plan to replay, because the leaves are not applied.
    Defer,
    /// Stop the plan at a fork, because the event that was applied is not the one in the ledger.
    StopAtFork,
}

/// Makes sure that the events of some leaves, which are in log order, are applied or will be replayed. Returns the log
/// index below which that holds.
pub(super) async fn pass(assignment: &Assignment, leaves: &[&SweptLeaf]) -> Result<u64, LedgerError> {
    let (context, ledger) = (&assignment.context, assignment.context.ledger());
    let mut plans: BTreeMap<i64, Vec<PlanLeaf>> = BTreeMap::new();
    for leaf in leaves.iter().filter(|leaf| context.spec.follows(&leaf.tenant)) {
        let wanted = leaf.event_type.as_ref().is_none_or(|event_type| context.spec.runs_for(&leaf.tenant, event_type));
        plans.entry(leaf.plan_no).or_default().push(PlanLeaf { seq: leaf.seq, wanted });
    }
    let plan_nos: Vec<i64> = plans.keys().copied().collect();
    let positions = ledger.positions().read(context.subscription_no, &plan_nos).await?;
    // Plans whose leaves are neither applied nor noted: the floor stays below them.
    let mut stuck: HashSet<i64> = HashSet::from_iter(plan_nos);
    let (mut seen, mut deferred) = (Vec::new(), Vec::new());
    for (plan_no, leaves) in &plans {
        let Some(position) = positions.get(plan_no) else { continue };
        let highest = leaves.iter().map(|leaf| leaf.seq).max().unwrap_or(0);
        let position = match position {
            Ok(position) => position,
            Err(error) => {
                // A newer release may have written it. If it is not live, the release that can read it replays the leaves.
                error!(error = %error_chain(error), "position cannot be read; the plan is not delivered");
                seen.push((*plan_no, highest));
                continue;
            }
        };
        let passed = match action(position, leaves) {
            SweepAction::Pass => true,
            SweepAction::StopAtFork => stop_at_fork(assignment, position, highest).await?,
            SweepAction::MarkSeen => {
                seen.push((*plan_no, highest));
                false
            }
            SweepAction::Defer => {
                deferred.push((position, highest));
                false
            }
        };
        if passed {
            stuck.remove(plan_no);
        }
    }
    if !seen.is_empty() {
        let updated = ledger.positions().mark_seen(context.subscription_no, &seen, Locked::Skip).await?;
        stuck.retain(|plan_no| !updated.contains(plan_no));
    }
    let (subscription_no, epoch) = (context.subscription_no, &assignment.lease_epoch);
    let updated = ledger.positions().defer(subscription_no, epoch, &deferred, Locked::Skip).await?;
    metrics::add(&context.metrics.deferred, updated.len());
    stuck.retain(|plan_no| !updated.contains(plan_no));
    let first_stuck = leaves.iter().find(|leaf| stuck.contains(&leaf.plan_no)).map(|leaf| leaf.index);
    Ok(first_stuck.or(leaves.last().map(|leaf| leaf.index + 1)).unwrap_or(0))
}

async fn stop_at_fork(assignment: &Assignment, position: &Position, seen: u64) -> Result<bool, LedgerError> {
    let context = &assignment.context;
    let reason = format!(
        "event {} was applied as {}, but the ledger has another event there, or none",
        position.next_seq - 1,
        position.last_hash
    );
    let aside = SetAside {
        state: PositionState::Fork,
        seen_seq: seen,
        attempts: position.attempts,
        retry_in: None,
        errors: std::slice::from_ref(&reason),
    };
    let epoch = &assignment.lease_epoch;
    let stopped = context.ledger().positions().set_aside(context.subscription_no, epoch, position, &aside).await?;
    if stopped {
        context.metrics.forks.inc();
        error!(plan_no = position.plan_no, reason, "plan is stopped at a fork until an operator settles it");
    }
    Ok(stopped)
}

fn action(position: &Position, leaves: &[PlanLeaf]) -> SweepAction {
    if position.state != PositionState::Live {
        return SweepAction::MarkSeen;
    }
    if !position.agrees && leaves.iter().any(|leaf| leaf.seq < position.next_seq) {
        return SweepAction::StopAtFork;
    }
    if leaves.iter().any(|leaf| leaf.seq >= position.next_seq && leaf.wanted) {
        SweepAction::Defer
    } else {
        SweepAction::Pass
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealbus_core::hash::Hash;

    use super::*;

    fn position(next_seq: u64, state: PositionState, agrees: bool) -> Position {
        Position {
            plan_no: 1,
            next_seq,
            last_hash: Hash([1; 32]),
            seen_seq: 0,
            state,
            stored: true,
            attempts: 0,
            command: None,
            agrees,
        }
    }

    proptest! {
        /// The sweep does nothing about a leaf only if it is applied, by the ledger's own chain, or unwanted.
        #[test]
        fn no_unapplied_wanted_leaf_is_passed(next_seq in 2..20_u64, leaves in prop::collection::vec((1..20_u64, any::<bool>()), 1..20), agrees: bool) {
            let leaves: Vec<PlanLeaf> = leaves.into_iter().map(|(seq, wanted)| PlanLeaf { seq, wanted }).collect();
            match action(&position(next_seq, PositionState::Live, agrees), &leaves) {
                SweepAction::Pass => {
                    prop_assert!(leaves.iter().all(|leaf| leaf.seq < next_seq && agrees || leaf.seq >= next_seq && !leaf.wanted));
                }
                SweepAction::StopAtFork => prop_assert!(!agrees),
                SweepAction::Defer => prop_assert!(leaves.iter().any(|leaf| leaf.seq >= next_seq && leaf.wanted)),
                SweepAction::MarkSeen => prop_assert!(false, "events are noted as seen for a live position, which is not replayed"),
            }
            for state in [PositionState::Deferred, PositionState::Parked, PositionState::Dead, PositionState::Fork] {
                prop_assert_eq!(action(&position(next_seq, state, agrees), &leaves), SweepAction::MarkSeen);
            }
        }
    }
}
