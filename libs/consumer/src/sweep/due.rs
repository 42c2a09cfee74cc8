//! The watch for positions that are due for replay, for all assignments of the process at once.

use std::sync::Arc;

use sealbus_core::error_chain;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::assignment::{HeldAssignments, ProcessContext};
use crate::plan_name::PlanName;

/// The most positions that are read at once, the longest due first.
const MAX_PLANS: u32 = 1_000;

/// Tells workers about plans that are due for replay, until the process ends.
pub(crate) async fn watch(process: Arc<ProcessContext>, held: Arc<HeldAssignments>, shutdown: CancellationToken) {
    let mut tick = interval(process.settings.replay_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_unreachable = false;
    // A tick that is overdue is ready at once and would win over the cancellation.
    while !shutdown.is_cancelled() && shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let assignments = held.by_partition(process.ledger.deployment().partitions);
        if assignments.is_empty() {
            continue;
        }
        let keys: Vec<(i64, u32)> = assignments.keys().copied().collect();
        let due = process.ledger.positions().due(&keys, MAX_PLANS).await;
        if let Err(error) = &due
            && !is_unreachable
        {
            warn!(error = %error_chain(error), "due plans cannot be read; retrying until the ledger answers");
        }
        is_unreachable = due.is_err();
        for plan in due.unwrap_or_default() {
            if let Some(held) = assignments.get(&(plan.subscription_no, plan.partition)) {
                // A worker that has ended meanwhile does not receive it; the next owner finds the plan again.
                let _ = held.due.send(PlanName::new(&plan.tenant, &plan.plan));
            }
        }
    }
}
