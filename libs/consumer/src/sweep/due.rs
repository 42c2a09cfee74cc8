//! Looks for positions that are due for replay, for all shares of the process at once, and tells their holders.

use std::sync::Arc;

use sealbus_ledger::Ledger;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::assignment::PlanName;
use crate::assignment::held::HeldShares;
use crate::settings::Settings;

/// Positions in one look, the longest due first.
const LOOK: u32 = 1_000;

/// Looks again and again until the process ends.
pub(crate) async fn watch(ledger: Ledger, held: Arc<HeldShares>, settings: Settings, shutdown: CancellationToken) {
    let mut tick = interval(settings.replay_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let shares = held.by_partition(ledger.deployment().partitions);
        if shares.is_empty() {
            continue;
        }
        let keys: Vec<(i64, u32)> = shares.keys().copied().collect();
        match ledger.positions().due(&keys, LOOK).await {
            Ok(plans) => {
                away = false;
                for plan in plans {
                    if let Some(held) = shares.get(&(plan.subscription_no, plan.partition)) {
                        // A holder that is gone needs no telling.
                        let _ = held.due.send(PlanName::new(&plan.tenant, &plan.plan));
                    }
                }
            }
            Err(error) if !away => {
                away = true;
                warn!(%error, "replay waits until the ledger answers");
            }
            Err(_) => {}
        }
    }
}
