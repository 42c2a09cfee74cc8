//! Attempts: what went wrong at each failed run of a handler. History for people; nothing is decided by it.

use sealbus_core::timestamp::Timestamp;
use sqlx::PgConnection;

use crate::LedgerError;
use crate::delivery::positions::Position;
use crate::delivery::positions::Positions;
use crate::history::trail::signed;

/// One failed run of a handler on one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1 for the event, over redrives too.
    pub n: u32,
    /// When it was written down.
    pub at: Timestamp,
    /// What went wrong.
    pub error: String,
}

impl Positions<'_> {
    /// Failed runs of a subscription's handler on one event, oldest first. They go when their position is pruned.
    pub async fn attempts(self, subscription_no: i64, plan_no: i64, seq: u64) -> Result<Vec<Attempt>, LedgerError> {
        let rows = sqlx::query!(
            "-- attempts
            SELECT n, at, error FROM sealbus.attempts WHERE subscription_no = $1 AND plan_no = $2 AND seq = $3 ORDER BY n",
            subscription_no,
            plan_no,
            signed(seq),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Attempt { n: row.n.unsigned_abs(), at: Timestamp::from_offset(row.at), error: row.error })
            .collect())
    }
}

/// Writes down the errors of a position's next event, numbered after those that are there.
pub(crate) async fn record(
    connection: &mut PgConnection,
    subscription_no: i64,
    from: &Position,
    errors: &[String],
) -> Result<(), LedgerError> {
    if errors.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "-- record_attempts
        INSERT INTO sealbus.attempts (subscription_no, plan_no, seq, n, error)
        SELECT $1, $2, $3, error.n + coalesce(
            (SELECT max(a.n) FROM sealbus.attempts a WHERE a.subscription_no = $1 AND a.plan_no = $2 AND a.seq = $3), 0), error.text
        FROM unnest($4::text[]) WITH ORDINALITY AS error (text, n)",
        subscription_no,
        from.plan_no,
        signed(from.next_seq),
        errors,
    )
    .execute(connection)
    .await?;
    Ok(())
}
