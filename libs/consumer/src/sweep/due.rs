//! The watch for positions that are due for replay, for all assignments of the process at once.

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::error_chain;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::assignment::{HeldAssignments, ProcessContext};
use crate::plan_name::PlanName;
use crate::ticks::Ticks;

/// The most positions of each subscription that are read at once, the longest due first.
const MAX_PLANS: u32 = 1_000;

/// Tells workers about plans that are due for replay, until the process ends.
pub(crate) async fn watch(process: Arc<ProcessContext>, held: Arc<HeldAssignments>, shutdown: CancellationToken) {
    let mut ticks = Ticks::new(Duration::ZERO, process.settings.replay_interval, &shutdown);
    let mut is_unreachable = false;
    while ticks.next().await {
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
