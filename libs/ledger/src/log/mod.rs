//! The log: the one order over all events, and the Merkle tree over it.
//!
//! - `seal`: the sealing transaction: queued events get their leaves, the tree grows, its root is compared and set, and signed.
//! - `queue`: what the transaction reads: queued events, and where their plans' last leaves stand.
//! - `leaves`: the checks that an event passes before it gets its leaf; pure.
//! - `tree`: the stored tree: its edge, its growth, its tiles.
//! - `proofs`: proofs out of the tiles, and which leaf is whose.
//! - `checkpoints`: the notes: the first of a log, what was stored with a root, what is shown.
//!
//! Here: how large the log is, and what waits for it.

mod checkpoints;
mod leaves;
mod proofs;
mod queue;
mod seal;
mod tiles;
mod tree;

use std::time::{Duration, Instant};

pub use self::leaves::StoppedPlan;
pub use self::proofs::EventPlace;
pub use self::seal::{Sealed, Signing};
pub(crate) use self::tiles::TILES;
pub use self::tree::TreeHead;
use crate::{Ledger, LedgerError};

/// The log of all events, and its Merkle tree. From [`Ledger::log`].
#[derive(Clone, Copy)]
pub struct Log<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Log<'_> {
    /// Leaves in the log.
    pub async fn size(self) -> Result<u64, LedgerError> {
        let size = sqlx::query_scalar!(
            r#"-- log_size
            SELECT coalesce(max(leaf_index) + 1, 0) AS "size!" FROM sealbus.log_leaves WHERE log_id = $1"#,
            self.ledger.deployment().log_id,
        )
        .fetch_one(self.ledger.pool())
        .await?;
        Ok(size.unsigned_abs())
    }

    /// Waits, asking every `interval`, until all events that are queued now have their leaves. False where none of them got
    /// one for as long as `patience`: no sealer runs, or what is left belongs to plans that are wrong.
    pub async fn wait_until_sealed(self, interval: Duration, patience: Duration) -> Result<bool, LedgerError> {
        let newest = sqlx::query_scalar!("-- newest_queued\nSELECT max(id) FROM sealbus.seal_queue")
            .fetch_one(self.ledger.pool())
            .await?;
        let Some(newest) = newest else { return Ok(true) };
        let (mut left, mut since) = (i64::MAX, Instant::now());
        loop {
            // A row that commits later with a lower id is waited for too: a little too long, never too short.
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
            if queued < left {
                (left, since) = (queued, Instant::now());
            } else if since.elapsed() > patience {
                return Ok(false);
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Events that have no leaf yet, and the age of the oldest in seconds.
    pub async fn backlog(self) -> Result<(u64, f64), LedgerError> {
        let row = sqlx::query!(
            r#"-- seal_backlog
            SELECT count(*) AS "waiting!",
                coalesce(extract(epoch FROM clock_timestamp() - min(e.recorded)), 0)::float8 AS "oldest!"
            FROM sealbus.seal_queue q LEFT JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq"#
        )
        .fetch_one(self.ledger.pool())
        .await?;
        Ok((row.waiting.unsigned_abs(), row.oldest))
    }
}
