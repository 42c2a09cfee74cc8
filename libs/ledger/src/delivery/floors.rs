//! Floors: for each subscription and partition the log index below which every leaf is applied, or owed in a position.
//!
//! The sweep (PROTOCOL, Consume, rule 1) walks the leaves from the lowest floor on and moves the floors behind it. A floor
//! moves by compare-and-set, in a statement of its own, after all that it relies on has committed.

use std::time::Duration;

use crate::history::trail::signed;
use crate::{Ledger, LedgerError};

/// A leaf as the sweep walks over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweptLeaf {
    /// Its place in the log.
    pub index: u64,
    /// Its plan.
    pub plan_no: i64,
    /// Its event's place in the plan.
    pub seq: u64,
    /// Its plan's tenant.
    pub tenant: String,
    /// Its event's type; none where the event has been taken out of the ledger.
    pub event_type: Option<String>,
}

/// The floor of each subscription in each partition. From [`Ledger::floors`].
#[derive(Clone, Copy)]
pub struct Floors<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Floors<'_> {
    /// Floors of some subscriptions in one partition, as (number, floor); one that is not complete has none.
    pub async fn read(self, subscriptions: &[i64], partition: u32) -> Result<Vec<(i64, u64)>, LedgerError> {
        let rows = sqlx::query!(
            "-- floors
            SELECT subscription_no, floor FROM sealbus.floors WHERE subscription_no = ANY ($1) AND partition = $2",
            subscriptions,
            i32::try_from(partition).unwrap_or(i32::MAX),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.subscription_no, row.floor.unsigned_abs())).collect())
    }

    /// Leaves of a partition in log order from an index on, up to the first that was sealed less than `age` ago.
    ///
    /// The walk ends at that one even if an older clock stands on a later leaf: what is passed over is never read again.
    pub async fn leaves(
        self,
        partition: u32,
        from_index: u64,
        age: Duration,
        limit: u32,
    ) -> Result<Vec<SweptLeaf>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- swept_leaves
            SELECT l.leaf_index, l.plan_no, l.seq, p.tenant, e.type AS "event_type?",
                l.sealed_at <= clock_timestamp() - make_interval(secs => $5) AS "old!"
            FROM sealbus.log_leaves l
            JOIN sealbus.plans p ON p.plan_no = l.plan_no
            LEFT JOIN sealbus.events e ON e.plan_no = l.plan_no AND e.seq = l.seq
            WHERE l.log_id = $1 AND l.partition = $2 AND l.leaf_index >= $3 ORDER BY l.leaf_index LIMIT $4"#,
            self.ledger.deployment().log_id,
            i32::try_from(partition).unwrap_or(i32::MAX),
            signed(from_index),
            i64::from(limit),
            age.as_secs_f64(),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .take_while(|row| row.old)
            .map(|row| SweptLeaf {
                index: row.leaf_index.unsigned_abs(),
                plan_no: row.plan_no,
                seq: row.seq.unsigned_abs(),
                tenant: row.tenant,
                event_type: row.event_type,
            })
            .collect())
    }

    /// Moves a floor, if it still is where the sweep read it. Says whether it did.
    pub async fn advance(self, subscription_no: i64, partition: u32, old: u64, new: u64) -> Result<bool, LedgerError> {
        let moved = sqlx::query!(
            "-- advance_floor
            UPDATE sealbus.floors SET floor = $4 WHERE subscription_no = $1 AND partition = $2 AND floor = $3",
            subscription_no,
            i32::try_from(partition).unwrap_or(i32::MAX),
            signed(old),
            signed(new),
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(moved.rows_affected() > 0)
    }

    /// How many leaves stand at or above the floors of some subscriptions, as (number, leaves): those too young for the
    /// sweep are among them, and no more than 100,000 a partition are counted.
    pub async fn lags(self, subscriptions: &[i64]) -> Result<Vec<(i64, u64)>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- floor_lags
            SELECT f.subscription_no, sum((
                SELECT count(*) FROM (
                    SELECT FROM sealbus.log_leaves l WHERE l.log_id = $2 AND l.partition = f.partition AND l.leaf_index >= f.floor LIMIT 100000
                ) above
            ))::bigint AS "lag!"
            FROM sealbus.floors f WHERE f.subscription_no = ANY ($1) GROUP BY f.subscription_no"#,
            subscriptions,
            self.ledger.deployment().log_id,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.subscription_no, row.lag.unsigned_abs())).collect())
    }
}
