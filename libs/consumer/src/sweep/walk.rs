//! One walk of a subscription over the leaves of a partition.

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::floors::{Floor, SweptLeaf};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::assignment::Assignment;
use crate::sweep::leaves::pass;

/// The most leaves of a page.
const MAX_LEAVES: u32 = 500;

/// Walks from a floor up to the first leaf that is too young, and moves the floor. Each page takes a turn.
///
/// The floor stays below the first leaf that could not be passed, for example because its position is locked. The leaves
/// above it are looked at all the same, so that one plan does not stop the healing of others; the next walk sees them
/// again.
pub(super) async fn walk(
    assignment: &Assignment,
    floor: Floor,
    turns: &Semaphore,
    shutdown: &CancellationToken,
) -> Result<(), LedgerError> {
    let (context, stored) = (&assignment.context, assignment.context.ledger().floors());
    let Floor { subscription_no, partition, index: mut floor, .. } = floor;
    let (mut from, mut is_stuck) = (floor, false);
    loop {
        let Some(turn) = shutdown.run_until_cancelled(turns.acquire()).await else { return Ok(()) };
        let _turn = turn.expect("the semaphore is never closed");
        if shutdown.is_cancelled() || !assignment.lease.still_held() {
            return Ok(());
        }
        let leaves = stored.leaves(partition, from, context.settings().sweep_min_age, MAX_LEAVES).await?;
        let Some(last) = leaves.last().map(|leaf| leaf.index) else { return Ok(()) };
        let passed = pass(assignment, &leaves.iter().collect::<Vec<&SweptLeaf>>()).await?;
        if !is_stuck && passed > floor {
            if !stored.advance(subscription_no, partition, floor, passed).await? {
                // Another process moves the floor. The next walk begins at the floor that is stored then.
                return Ok(());
            }
            floor = passed;
        }
        is_stuck |= passed <= last;
        from = last + 1;
    }
}
