//! Which plans cannot be sealed further, for processes that wait for sealing.
//!
//! Stopped plans are in no table: a sealer finds them by checking events, and so does everybody else.

use super::Log;
use super::leaves::{Batch, StoppedPlan};
use super::queue::{QueueRow, with_events};
use crate::LedgerError;

impl Log<'_> {
    /// Returns those of some plans whose next queued event gets no leaf, because it fails a check. They change nothing.
    pub async fn stopped(self, plans: &[i64]) -> Result<Vec<StoppedPlan>, LedgerError> {
        let operation = async {
            // One snapshot, so that a concurrent sealing counts in all tables or in none.
            let mut transaction =
                self.ledger.background().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let first = sqlx::query_as!(
                QueueRow,
                "-- first_queued
                SELECT DISTINCT ON (plan_no) id, plan_no, seq, event_hash FROM sealbus.seal_queue
                WHERE plan_no = ANY ($1) ORDER BY plan_no, id",
                plans,
            )
            .fetch_all(&mut *transaction)
            .await?;
            let queued = with_events(&mut transaction, first).await?;
            let last = self.last_leaves(&mut transaction, &queued).await?;
            transaction.rollback().await?;
            let mut batch = Batch::new(&self.ledger.deployment().origin, last);
            for row in queued {
                batch.take(row);
            }
            Ok(batch.stopped)
        };
        self.ledger.background().within(operation).await
    }
}
