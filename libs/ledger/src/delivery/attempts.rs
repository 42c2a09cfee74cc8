//! Attempts: the errors of failed handler runs. They are history for people; no decision depends on them.

use sealbus_core::timestamp::Timestamp;
use sqlx::PgConnection;

use crate::LedgerError;
use crate::delivery::positions::{NEXT_SEQ, Position, Positions};
use crate::pg::{Column, bound};

/// One failed run of a handler for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counts the attempts at the event from 1, across redrives.
    pub n: u32,
    /// When the attempt was recorded.
    pub at: Timestamp,
    /// The error.
    pub error: String,
}

impl Positions<'_> {
    /// Returns the attempts of a subscription at one event, oldest first. They are deleted when their position is pruned.
    pub async fn attempts(self, subscription_no: i64, plan_no: i64, seq: u64) -> Result<Vec<Attempt>, LedgerError> {
        let rows = sqlx::query!(
            "-- attempts
            SELECT n, at, error FROM sealbus.attempts WHERE subscription_no = $1 AND plan_no = $2 AND seq = $3 ORDER BY n",
            subscription_no,
            plan_no,
            bound(seq),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let n = Column::new("attempts", "n").of_row(plan_no);
        rows.into_iter()
            .map(|row| Ok(Attempt { n: n.read(row.n)?, at: Timestamp::from_offset(row.at), error: row.error }))
            .collect()
    }
}

/// Records errors at the next event of a position, numbered after those that are recorded already.
pub(super) async fn record(
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
        NEXT_SEQ.bigint(from.next_seq)?,
        errors,
    )
    .execute(connection)
    .await?;
    Ok(())
}
