//! The watch for positions that are due for replay, for all assignments of the process at once.

use std::sync::Arc;

use sealbus_core::error_chain;
use sealbus_ledger::Ledger;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::assignment::held::HeldAssignments;
use crate::assignment::plan_name::PlanName;
use crate::settings::Settings;

/// The most positions that are read at once, the longest due first.
const MAX_PLANS: u32 = 1_000;

/// Tells workers about plans that are due for replay, until the process ends.
pub(crate) async fn watch(ledger: Ledger, held: Arc<HeldAssignments>, settings: Settings, shutdown: CancellationToken) {
    let mut tick = interval(settings.replay_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_unreachable = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let assignments = held.by_partition(ledger.deployment().partitions);
        if assignments.is_empty() {
            continue;
        }
        let keys: Vec<(i64, u32)> = assignments.keys().copied().collect();
        match ledger.positions().due(&keys, MAX_PLANS).await {
            Ok(plans) => {
                is_unreachable = false;
                for plan in plans {
                    if let Some(held) = assignments.get(&(plan.subscription_no, plan.partition)) {
                        // A worker that has ended meanwhile does not receive it; the next owner finds the plan again.
                        let _ = held.due.send(PlanName::new(&plan.tenant, &plan.plan));
                    }
                }
            }
            Err(error) if !is_unreachable => {
                is_unreachable = true;
                warn!(error = %error_chain(&error), "due plans cannot be read; retrying until the ledger answers");
            }
            Err(_) => {}
        }
    }
}
