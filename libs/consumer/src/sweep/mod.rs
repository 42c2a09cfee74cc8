//! The sweep, because of which every event reaches every subscription while the ledger exists
//! (docs/spec/protocol.md#consume-1).
//!
//! For each subscription and partition that this process works on, a walk goes over the leaves above the floor, in log
//! order. Each leaf is passed, or its plan is deferred to replay; the floor moves up to the first leaf that is neither.
//! Walks do not wait for each other: they take turns, page by page. A sweep reads no event.

pub(crate) mod due;
mod leaves;
pub(crate) mod upkeep;
mod walk;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::floors::Floor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, warn};

use self::walk::walk;
use crate::assignment::{Assignment, HeldAssignments, ProcessContext};

/// The most pages that the walks of a process work on at a time. Walks that wait get their turn in the order in which they
/// asked for it.
const MAX_PAGES: usize = 4;

/// Starts a walk periodically for each subscription and partition that has leaves above its floor and no walk, until the
/// process ends. Then each walk ends with its page.
pub(crate) async fn sweep(process: Arc<ProcessContext>, held: Arc<HeldAssignments>, shutdown: CancellationToken) {
    let mut tick = interval(process.settings.sweep_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let turns = Arc::new(Semaphore::new(MAX_PAGES));
    let mut walks: JoinSet<(i64, u32)> = JoinSet::new();
    let mut walking: HashSet<(i64, u32)> = HashSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = walks.join_next(), if !walks.is_empty() => {
                let key = ended.unwrap_or_else(|crashed| std::panic::resume_unwind(crashed.into_panic()));
                walking.remove(&key);
            }
            _ = tick.tick() => {
                let idle = |key: &(i64, u32)| !walking.contains(key);
                let floors = match floors_with_leaves(&process, &held, idle).await {
                    Ok(floors) => floors,
                    Err(error) => {
                        warn!(error = %error_chain(&error), "sweep cannot begin; it is repeated at the next interval");
                        continue;
                    }
                };
                for (assignment, floor) in floors {
                    let key = (floor.subscription_no, floor.partition);
                    walking.insert(key);
                    let (turns, shutdown) = (turns.clone(), shutdown.clone());
                    walks.spawn(async move {
                        let span = assignment.span();
                        let walking = walk(&assignment, floor, &turns, &shutdown).instrument(span.clone());
                        if let Err(error) = walking.await {
                            let error = error_chain(&error);
                            warn!(parent: &span, error, "sweep failed; it is repeated at the next interval");
                        }
                        key
                    });
                }
            }
        }
    }
    while walks.join_next().await.is_some() {}
}

/// Returns the assignments that have leaves above their floors, with the floors.
async fn floors_with_leaves(
    process: &ProcessContext,
    held: &HeldAssignments,
    is_included: impl Fn(&(i64, u32)) -> bool,
) -> Result<Vec<(Arc<Assignment>, Floor)>, LedgerError> {
    let mut assignments: BTreeMap<(i64, u32), Arc<Assignment>> = BTreeMap::new();
    for (key, held) in held.by_partition(process.ledger.deployment().partitions) {
        if is_included(&key) {
            assignments.insert(key, held.assignment);
        }
    }
    let keys: Vec<(i64, u32)> = assignments.keys().copied().collect();
    let floors = process.ledger.floors().read(&keys).await?.into_iter().filter_map(|floor| match floor {
        Ok(floor) => Some(floor),
        Err(error) => {
            error!(error = %error_chain(&error), "floor cannot be read; messages that the stream loses are not found");
            None
        }
    });
    let with_leaves = floors.filter(|floor| floor.has_leaves).filter_map(|floor| {
        assignments.remove(&(floor.subscription_no, floor.partition)).map(|assignment| (assignment, floor))
    });
    Ok(with_leaves.collect())
}
