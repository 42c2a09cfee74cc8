//! The log: one order of all events, and the Merkle tree over it (`docs/spec/protocol.md#seal`,
//! `docs/spec/integrity.md#the-log`).
//!
//! An append puts each event into the seal queue. One sealer at a time takes the queued events, gives each the next leaf of the
//! log, extends the tree and signs its root as a checkpoint. Stored data is never trusted: before the tree grows, its tiles
//! must hash to the stored root, and what is signed must continue what was anchored.
//!
//! - `seal`: the sealing transaction.
//! - `queue`: what the transaction reads: queued events, and the last leaves of their plans.
//! - `leaves`: the checks that an event passes before it gets its leaf; pure.
//! - `tree`: the stored tree: its edge, its growth and its signature.
//! - `tiles`: the stored tiles.
//! - `proofs`: inclusion and consistency proofs, and the log indexes of events.
//! - `checkpoints`: the first checkpoint of a log, the stored ones, and the one that is shown to readers.
//! - `error`: why the log cannot be extended or signed.
//!
//! This file has the size of the log and the state of the seal queue.

mod checkpoints;
mod error;
mod leaves;
mod proofs;
mod queue;
mod seal;
mod tiles;
mod tree;

use std::time::{Duration, Instant};

pub use self::error::LogError;
pub use self::leaves::StoppedPlan;
pub use self::proofs::EventPlace;
pub use self::seal::{Sealed, Signing};
pub use self::tree::TreeHead;
use crate::pg::Column;
use crate::{Ledger, LedgerError};

/// Access to the log, from [`Ledger::log`].
#[derive(Clone, Copy)]
pub struct Log<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Log<'_> {
    /// Returns the number of leaves in the log.
    pub async fn size(self) -> Result<u64, LedgerError> {
        let size = sqlx::query_scalar!(
            r#"-- log_size
            SELECT coalesce(max(leaf_index) + 1, 0) AS "size!" FROM sealbus.log_leaves WHERE log_id = $1"#,
            self.ledger.deployment().log_id,
        )
        .fetch_one(self.ledger.pool())
        .await?;
        Column::new("log_leaves", "leaf_index").read(size)
    }

    /// Waits until all events that are queued now are sealed, and looks every `interval`. Returns `false` if none of them was
    /// sealed for `timeout`: no sealer runs, or the remaining events belong to plans that cannot be sealed.
    pub async fn wait_until_sealed(self, interval: Duration, timeout: Duration) -> Result<bool, LedgerError> {
        let newest = sqlx::query_scalar!("-- newest_queued\nSELECT max(id) FROM sealbus.seal_queue")
            .fetch_one(self.ledger.pool())
            .await?;
        let Some(newest) = newest else { return Ok(true) };
        let (mut least, mut since) = (i64::MAX, Instant::now());
        loop {
            // This also waits for rows that commit later with a lower id, which takes a little longer than necessary.
            let queued = sqlx::query_scalar!(
                r#"-- queued_up_to
                SELECT count(*) AS "queued!" FROM sealbus.seal_queue WHERE id <= $1"#,
                newest
            )
            .fetch_one(self.ledger.pool())
            .await?;
            if queued == 0 {
                return Ok(true);
            }
            if queued < least {
                (least, since) = (queued, Instant::now());
            } else if since.elapsed() > timeout {
                return Ok(false);
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Returns the number of events that are not sealed yet, and the age of the oldest one in seconds.
    pub async fn backlog(self) -> Result<(u64, f64), LedgerError> {
        let row = sqlx::query!(
            r#"-- seal_backlog
            SELECT count(*) AS "waiting!",
                coalesce(extract(epoch FROM clock_timestamp() - min(e.recorded)), 0)::float8 AS "oldest!"
            FROM sealbus.seal_queue q LEFT JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq"#
        )
        .fetch_one(self.ledger.pool())
        .await?;
        Ok((Column::new("seal_queue", "count(*)").read(row.waiting)?, row.oldest))
    }
}
