//! What the metrics of a sealer show of the log and its queue.

use super::{Log, MAX_COUNTED};
use crate::LedgerError;
use crate::pg::Column;

/// The newest checkpoints in the ledger, and the events that have no leaf yet. All ages are in seconds, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogStatus {
    /// The size of the newest stored tree.
    pub stored_size: u64,
    /// The time since the last leaf of that tree was added; `None` if it has no leaf.
    pub stored_age: Option<f64>,
    /// The size of the checkpoint that is shown to readers, and the time since it was shown; `None` before the first one.
    pub shown: Option<(u64, f64)>,
    /// The number of queued events, at most 10,000.
    pub queued: u64,
    /// The time since the first queued event was recorded; 0 if none is queued.
    pub oldest_queued: f64,
}

impl Log<'_> {
    /// Reads the state of the log, and of the seal queue from this id on. Give the low-water bound of a
    /// [`SealingState`](super::SealingState): below it there are only events of stopped plans. An infinite time has the age 0.
    pub async fn status(self, from_id: i64) -> Result<LogStatus, LedgerError> {
        let row = sqlx::query!(
            r#"-- log_status
            SELECT coalesce(root.size, 0) AS "stored_size!",
                CASE WHEN isfinite(leaf.sealed_at) THEN extract(epoch FROM clock_timestamp() - leaf.sealed_at)
                    WHEN leaf.leaf_index IS NOT NULL THEN 0 END::float8 AS stored_age,
                shown.size AS "shown_size?",
                CASE WHEN isfinite(shown.shown_at) THEN extract(epoch FROM clock_timestamp() - shown.shown_at) ELSE 0 END::float8 AS "shown_age!",
                queue.events AS "queued!",
                CASE WHEN isfinite(oldest.recorded) THEN extract(epoch FROM clock_timestamp() - oldest.recorded) ELSE 0 END::float8
                    AS "oldest_queued!"
            FROM (SELECT max(r.size) AS size FROM sealbus.log_roots r WHERE r.log_id = $1) root
            LEFT JOIN sealbus.log_leaves leaf ON leaf.log_id = $1 AND leaf.leaf_index = root.size - 1
            LEFT JOIN sealbus.checkpoints shown ON shown.log_id = $1
            CROSS JOIN LATERAL (
                SELECT count(*) AS events, min(q.id) AS first FROM (
                    SELECT q.id FROM sealbus.seal_queue q WHERE q.id >= $2 ORDER BY q.id LIMIT $3
                ) q
            ) queue
            LEFT JOIN LATERAL (
                SELECT e.recorded FROM sealbus.seal_queue q JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq
                WHERE q.id = queue.first
            ) oldest ON true"#,
            self.ledger.deployment().log_id,
            from_id,
            MAX_COUNTED,
        );
        let row = row.fetch_one(self.ledger.background()).await?;
        let size = |table, size: i64| Column::new(table, "size").read(size);
        let shown = row.shown_size.map(|size| (size, row.shown_age));
        Ok(LogStatus {
            stored_size: size("log_roots", row.stored_size)?,
            stored_age: row.stored_age.map(|age| age.max(0.0)),
            shown: shown
                .map(|(shown, age)| Ok::<_, LedgerError>((size("checkpoints", shown)?, age.max(0.0))))
                .transpose()?,
            queued: Column::new("seal_queue", "count(*)").read(row.queued)?,
            oldest_queued: row.oldest_queued.max(0.0),
        })
    }
}
