//! The log: one order of all events, and the Merkle tree over it (`docs/spec/protocol.md#seal`,
//! `docs/spec/integrity.md#the-log`).
//!
//! An append puts each event into the seal queue. One sealer at a time takes the queued events, gives each the next leaf of the
//! log, extends the tree and signs its root as a checkpoint. Stored data is never trusted: before the tree grows, its tiles
//! must hash to the stored root, and what is signed must continue what was anchored.

mod checkpoints;
mod leaves;
mod queue;
mod seal;
mod state;
mod status;
mod stopped;
mod tiles;
mod tree;

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use sqlx::PgExecutor;

pub use self::leaves::StoppedPlan;
pub use self::seal::Sealed;
pub use self::state::{SealingBasis, SealingState};
pub use self::status::LogStatus;
pub use self::tree::{Signing, TreeHead};
use crate::pg::{Column, bound};
use crate::{Ledger, LedgerError};

/// The highest number of queued events that are counted at a time.
const MAX_COUNTED: i64 = 10_000;

const LEAF_INDEX: Column = Column::new("log_leaves", "leaf_index");

/// The place of an event: its plan and its seq.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventPlace {
    /// The tenant of the plan.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The seq.
    pub seq: u64,
}

/// Access to the log, from [`Ledger::log`].
#[derive(Clone, Copy)]
pub struct Log<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Log<'_> {
    /// Returns the number of leaves in the log.
    pub async fn size(self) -> Result<u64, LedgerError> {
        LEAF_INDEX.read(self.leaf_count(self.ledger.reads()).await?)
    }

    async fn leaf_count(self, connection: impl PgExecutor<'_>) -> Result<i64, LedgerError> {
        let size = sqlx::query_scalar!(
            r#"-- log_size
            SELECT coalesce(max(leaf_index) + 1, 0) AS "size!" FROM sealbus.log_leaves WHERE log_id = $1"#,
            self.ledger.deployment().log_id,
        );
        Ok(size.fetch_one(connection).await?)
    }

    /// Returns the log indexes of some events, in their order. The index is `None` for an event that is not sealed or not
    /// in the ledger.
    pub async fn leaf_indexes(self, places: &[EventPlace]) -> Result<Vec<Option<u64>>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- leaf_indexes
            SELECT w.at AS "at!", l.leaf_index
            FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS w (tenant, plan, seq, at)
            JOIN sealbus.plans p ON p.tenant = w.tenant AND p.plan = w.plan
            JOIN sealbus.log_leaves l ON l.plan_no = p.plan_no AND l.seq = w.seq AND l.log_id = $1"#,
            self.ledger.deployment().log_id,
            &places.iter().map(|place| place.tenant.clone()).collect::<Vec<_>>(),
            &places.iter().map(|place| place.plan.clone()).collect::<Vec<_>>(),
            &places.iter().map(|place| bound(place.seq)).collect::<Vec<_>>(),
        );
        let mut indexes = vec![None; places.len()];
        for row in rows.fetch_all(self.ledger.background()).await? {
            let at = Column::new("leaf_indexes", "at").index(row.at, places.len())?;
            indexes[at] = Some(LEAF_INDEX.read(row.leaf_index)?);
        }
        Ok(indexes)
    }

    /// Waits until all events that are queued now are sealed, and looks every `interval`. Returns `false` if none of them was
    /// sealed for `timeout`: no sealer runs, or the remaining events belong to plans that cannot be sealed.
    pub async fn wait_until_sealed(self, interval: Duration, timeout: Duration) -> Result<bool, LedgerError> {
        let newest = newest_queued(self.ledger.background()).await?;
        let (mut least, mut since) = ((i64::MAX, Reverse(0)), Instant::now());
        loop {
            // This also waits for rows that commit later with a lower id, which takes a little longer than necessary.
            let queued = sqlx::query_scalar!(
                r#"-- queued_up_to
                SELECT count(*) AS "queued!" FROM (SELECT FROM sealbus.seal_queue WHERE id <= $1 LIMIT $2) queued"#,
                newest,
                MAX_COUNTED,
            );
            let queued = queued.fetch_one(self.ledger.background()).await?;
            if queued == 0 {
                return Ok(true);
            }
            // If there are more than are counted, the growth of the log shows that they become fewer.
            let size = if queued == MAX_COUNTED { self.size().await? } else { 0 };
            if (queued, Reverse(size)) < least {
                (least, since) = ((queued, Reverse(size)), Instant::now());
            } else if since.elapsed() > timeout {
                return Ok(false);
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Returns the age in seconds of the event that has waited longest for its leaf; 0 if none waits.
    pub async fn oldest_unsealed(self) -> Result<f64, LedgerError> {
        let oldest = sqlx::query_scalar!(
            r#"-- oldest_unsealed
            SELECT coalesce(extract(epoch FROM clock_timestamp() - CASE WHEN isfinite(e.recorded) THEN e.recorded END), 0)::float8 AS "age!"
            FROM sealbus.seal_queue q JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
            ORDER BY q.id LIMIT 1"#
        );
        Ok(oldest.fetch_optional(self.ledger.background()).await?.unwrap_or(0.0).max(0.0))
    }

    /// Counts the events that are not sealed yet, for benchmarks and tests. It reads the whole queue.
    pub async fn count_unsealed(self) -> Result<u64, LedgerError> {
        let unsealed = sqlx::query_scalar!("-- count_unsealed\nSELECT count(*) AS \"events!\" FROM sealbus.seal_queue");
        Column::new("seal_queue", "count(*)").read(unsealed.fetch_one(self.ledger.background()).await?)
    }
}

/// Returns the highest id in the seal queue; 0 if the queue is empty.
async fn newest_queued(connection: impl PgExecutor<'_>) -> Result<i64, LedgerError> {
    let newest = sqlx::query_scalar!(
        r#"-- newest_queued
        SELECT coalesce(max(id), 0) AS "newest!" FROM sealbus.seal_queue"#
    );
    Ok(newest.fetch_one(connection).await?)
}
