//! Floors: for each subscription and partition, the log index below which every leaf is applied, or owed in a position.
//!
//! The sweep (`docs/spec/protocol.md#consume-1`) walks the leaves from the floor on and moves the floor behind it. A floor
//! moves by compare-and-set, in a separate transaction, after all that it relies on has committed.
//!
//! The statements that look for leaves from a floor on say `(log_id = …) IS TRUE`, so that Postgres cannot use the primary key, whose
//! first column this is. Planned while the table is empty, they would read the leaves of all partitions by it: a million for a
//! partition without leaves ([decision 0020](../../../../docs/decisions/0020-cost-and-retention.md)).

use std::time::Duration;

use crate::pg::{Column, bound};
use crate::{Ledger, LedgerError};

const FLOOR: Column = Column::new("floors", "floor");
const PARTITION: Column = Column::new("floors", "partition");

/// A leaf, as the sweep needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweptLeaf {
    /// The log index.
    pub index: u64,
    /// The number of the plan.
    pub plan_no: i64,
    /// The position of the event in its plan.
    pub seq: u64,
    /// The tenant of the plan.
    pub tenant: String,
    /// The type of the event; `None` if the ledger lacks the event.
    pub event_type: Option<String>,
}

/// The floor of a subscription in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The number of the subscription.
    pub subscription_no: i64,
    /// The partition.
    pub partition: u32,
    /// The log index below which nothing is owed that is not recorded in a position.
    pub index: u64,
    /// Whether the partition has a leaf at the floor or above it.
    pub has_leaves: bool,
}

/// Access to floors, from [`Ledger::floors`].
#[derive(Clone, Copy)]
pub struct Floors<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Floors<'_> {
    /// Returns the floors of some (subscription number, partition) pairs. A subscription whose creation is not finished has none.
    /// A row that is not of its form is an error of its own, [`LedgerError::Corrupt`].
    pub async fn read(self, assignments: &[(i64, u32)]) -> Result<Vec<Result<Floor, LedgerError>>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- floors
            SELECT f.subscription_no, f.partition, f.floor, l.leaf_index IS NOT NULL AS "has_leaves!"
            FROM unnest($1::bigint[], $2::integer[]) AS held (subscription_no, partition)
            JOIN sealbus.floors f ON f.subscription_no = held.subscription_no AND f.partition = held.partition
            LEFT JOIN LATERAL (
                SELECT l.leaf_index FROM sealbus.log_leaves l
                WHERE (l.log_id = $3) IS TRUE AND l.partition = f.partition AND l.leaf_index >= f.floor ORDER BY l.leaf_index LIMIT 1
            ) l ON true"#,
            &assignments.iter().map(|(subscription_no, _)| *subscription_no).collect::<Vec<_>>(),
            &assignments.iter().map(|(_, number)| PARTITION.integer(*number)).collect::<Result<Vec<_>, _>>()?,
            self.ledger.deployment().log_id,
        );
        let floors = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            Ok(Floor {
                subscription_no: row.subscription_no,
                partition: PARTITION.of_row(row.subscription_no).read(row.partition)?,
                index: FLOOR.of_row(row.subscription_no).read(row.floor)?,
                has_leaves: row.has_leaves,
            })
        });
        Ok(floors.collect())
    }

    /// Returns up to `limit` leaves of a partition in log order, beginning at `from_index`, up to the first leaf that was
    /// sealed less than `age` ago, even if a later leaf looks older because the clock was set back.
    ///
    /// A leaf whose time lies in the future counts as old: the clock was set back after it was sealed. A leaf that counts as old
    /// too early costs a replay; no event is lost by it. So a jump of the clock delays no leaf by more than `age`.
    pub async fn leaves(
        self,
        partition: u32,
        from_index: u64,
        age: Duration,
        limit: u32,
    ) -> Result<Vec<SweptLeaf>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- swept_leaves
            SELECT l.leaf_index, l.plan_no, l.seq, p.tenant AS "tenant?", e.type AS "event_type?",
                coalesce(l.sealed_at <= clock_timestamp() - make_interval(secs => $5) OR l.sealed_at > clock_timestamp(), true) AS "old!"
            FROM sealbus.log_leaves l
            JOIN sealbus.plans p ON p.plan_no = l.plan_no
            LEFT JOIN sealbus.events e ON e.plan_no = l.plan_no AND e.seq = l.seq
            WHERE (l.log_id = $1) IS TRUE AND l.partition = $2 AND l.leaf_index >= $3 ORDER BY l.leaf_index LIMIT $4"#,
            self.ledger.deployment().log_id,
            PARTITION.integer(partition)?,
            bound(from_index),
            i64::from(limit),
            age.as_secs_f64(),
        );
        let leaves =
            rows.fetch_all(self.ledger.background()).await?.into_iter().take_while(|row| row.old).filter_map(|row| {
                let index = Column::new("log_leaves", "leaf_index").read(row.leaf_index);
                let (Ok(seq), Some(tenant)) = (u64::try_from(row.seq), row.tenant) else {
                    tracing::error!(
                        leaf_index = row.leaf_index,
                        "row of a leaf or of its plan is invalid; it is not swept"
                    );
                    return None;
                };
                let leaf = |index| SweptLeaf { index, plan_no: row.plan_no, seq, tenant, event_type: row.event_type };
                Some(index.map(leaf))
            });
        leaves.collect()
    }

    /// Moves a floor from `old` to `new`. Returns whether it did; the floor must still be at `old`, and its row not locked.
    pub async fn advance(self, subscription_no: i64, partition: u32, old: u64, new: u64) -> Result<bool, LedgerError> {
        let moved = sqlx::query!(
            "-- advance_floor
            WITH free AS (
                SELECT FROM sealbus.floors WHERE subscription_no = $1 AND partition = $2 AND floor = $3 FOR UPDATE SKIP LOCKED
            )
            UPDATE sealbus.floors SET floor = $4
            WHERE subscription_no = $1 AND partition = $2 AND floor = $3 AND EXISTS (SELECT FROM free)",
            subscription_no,
            PARTITION.integer(partition)?,
            FLOOR.bigint(old)?,
            FLOOR.bigint(new)?,
        );
        Ok(moved.execute(self.ledger.background()).await?.rows_affected() > 0)
    }

    /// Returns the floors of some subscriptions that have a leaf at or above them which was sealed at least `age` ago, or in the
    /// future, as (subscription number, partition, floor). A floor that stays among them does not move.
    pub async fn behind(self, subscriptions: &[i64], age: Duration) -> Result<Vec<(i64, u32, u64)>, LedgerError> {
        let rows = sqlx::query!(
            "-- floors_behind
            SELECT f.subscription_no, f.partition, f.floor FROM sealbus.floors f CROSS JOIN LATERAL (
                SELECT l.sealed_at FROM sealbus.log_leaves l
                WHERE (l.log_id = $2) IS TRUE AND l.partition = f.partition AND l.leaf_index >= f.floor ORDER BY l.leaf_index LIMIT 1
            ) l
            WHERE f.subscription_no = ANY ($1)
                AND coalesce(l.sealed_at <= clock_timestamp() - make_interval(secs => $3) OR l.sealed_at > clock_timestamp(), true)",
            subscriptions,
            self.ledger.deployment().log_id,
            age.as_secs_f64(),
        );
        let rows = rows.fetch_all(self.ledger.background()).await?.into_iter();
        let floor = |no: i64, floor: i64| FLOOR.of_row(no).read(floor);
        rows.map(|row| {
            Ok((row.subscription_no, PARTITION.read(row.partition)?, floor(row.subscription_no, row.floor)?))
        })
        .collect()
    }

    /// Returns the age of the oldest leaf at or above the floors of some subscriptions, as (subscription number, seconds): 0 if
    /// there is no such leaf, or its time is infinite. It includes leaves that are too young for the sweep. It reads one leaf for each floor.
    pub async fn ages(self, subscriptions: &[i64]) -> Result<Vec<(i64, f64)>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- floor_ages
            SELECT f.subscription_no, max(
                CASE WHEN isfinite(oldest.sealed_at) THEN extract(epoch FROM clock_timestamp() - oldest.sealed_at) ELSE 0 END
            )::float8 AS "age!"
            FROM sealbus.floors f
            LEFT JOIN LATERAL (
                SELECT l.sealed_at FROM sealbus.log_leaves l
                WHERE (l.log_id = $2) IS TRUE AND l.partition = f.partition AND l.leaf_index >= f.floor ORDER BY l.leaf_index LIMIT 1
            ) oldest ON true
            WHERE f.subscription_no = ANY ($1) GROUP BY f.subscription_no"#,
            subscriptions,
            self.ledger.deployment().log_id,
        );
        let rows = rows.fetch_all(self.ledger.background()).await?.into_iter();
        Ok(rows.map(|row| (row.subscription_no, row.age.max(0.0))).collect())
    }
}
