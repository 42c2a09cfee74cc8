//! Positions that cannot move now: parked, behind, dead, fork. How they are set aside, seen, taken up again and let go.
//!
//! Each statement carries the condition that PROTOCOL, Consume, rules 1, 3, 4 and 10 demand; each was found necessary. A
//! call that says false changed nothing: the caller reads the standing again.

use std::time::Duration;

use sealbus_core::hash::Hash;

use crate::LedgerError;
use crate::delivery::attempts;
use crate::delivery::positions::Positions;
use crate::delivery::positions::{LeaseEpoch, Position, PositionState};
use crate::history::trail::signed;

/// How a position is set aside.
#[derive(Clone, Debug)]
pub struct SetAside<'a> {
    /// [`PositionState::Parked`], [`PositionState::Dead`] or [`PositionState::Fork`].
    pub state: PositionState,
    /// The highest seq that is acknowledged because of this.
    pub seen_seq: u64,
    /// Runs of the handler on the next event that count from now on.
    pub attempts: u32,
    /// When replay takes it up; never, where none.
    pub retry_in: Option<Duration>,
    /// What went wrong, oldest first; kept as attempts. The last one is shown.
    pub errors: &'a [String],
}

/// A position that replay, or an operator's ask, is due for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuePlan {
    /// Whose position.
    pub subscription_no: i64,
    /// Its plan's partition.
    pub partition: u32,
    /// Its plan's tenant.
    pub tenant: String,
    /// Its plan.
    pub plan: String,
    /// Its plan's number.
    pub plan_no: i64,
}

impl Positions<'_> {
    /// Parks a position, makes it a dead letter or stops it at a fork, where it still stands as read.
    pub async fn set_aside(
        self,
        subscription_no: i64,
        lease: &LeaseEpoch,
        from: &Position,
        aside: &SetAside<'_>,
    ) -> Result<bool, LedgerError> {
        let mut transaction = self.ledger.pool().begin().await?;
        let (first, last) = (aside.errors.first(), aside.errors.last());
        let retry_in = aside.retry_in.map(|pause| pause.as_secs_f64());
        let written = if from.stored {
            sqlx::query!(
                "-- set_aside
                UPDATE sealbus.positions
                SET state = $5, seen_seq = greatest(seen_seq, next_seq, $6::bigint), attempts = $7,
                    next_at = CASE WHEN ask IS NULL THEN clock_timestamp() + make_interval(secs => $8) ELSE clock_timestamp() END,
                    first_error = coalesce(first_error, $9), last_error = coalesce($10, last_error), epoch = $11
                WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state = $4",
                subscription_no,
                from.plan_no,
                signed(from.next_seq),
                from.state.as_str(),
                aside.state.as_str(),
                signed(aside.seen_seq),
                count(aside.attempts),
                retry_in,
                first,
                last,
                lease.epoch,
            )
            .execute(&mut *transaction)
            .await?
        } else {
            sqlx::query!(
                "-- first_set_aside
                INSERT INTO sealbus.positions
                    (subscription_no, plan_no, next_seq, last_hash, state, seen_seq, attempts, next_at, first_error, last_error, epoch)
                SELECT $1, $2, $3::bigint, $4, $5, greatest($3::bigint, $6::bigint), $7, clock_timestamp() + make_interval(secs => $8), $9, $10, lease.epoch
                FROM sealbus.leases lease WHERE lease.kind = $11 AND lease.key = $12 AND lease.epoch = $13
                ON CONFLICT DO NOTHING",
                subscription_no,
                from.plan_no,
                signed(from.next_seq),
                from.last_hash.as_bytes().as_slice(),
                aside.state.as_str(),
                signed(aside.seen_seq),
                count(aside.attempts),
                retry_in,
                first,
                last,
                lease.kind,
                lease.key,
                lease.epoch,
            )
            .execute(&mut *transaction)
            .await?
        };
        if written.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        attempts::record(&mut transaction, subscription_no, from, aside.errors).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Leaves live positions behind, to be replayed from the ledger up to at least the given seqs. Gives the plans that
    /// still stood as read; the others are untouched.
    pub async fn defer(
        self,
        subscription_no: i64,
        lease: &LeaseEpoch,
        plans: &[(&Position, u64)],
    ) -> Result<Vec<i64>, LedgerError> {
        let (known, new): (Vec<_>, Vec<_>) = plans.iter().partition(|(from, _)| from.stored);
        let mut left = Vec::with_capacity(plans.len());
        if !known.is_empty() {
            left.extend(
                sqlx::query_scalar!(
                    "-- leave_behind
                    UPDATE sealbus.positions pos
                    SET state = 'behind', seen_seq = greatest(pos.seen_seq, pos.next_seq, b.seen_seq), next_at = clock_timestamp(), epoch = $2
                    FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS b (plan_no, next_seq, seen_seq)
                    WHERE pos.subscription_no = $1 AND pos.plan_no = b.plan_no AND pos.next_seq = b.next_seq AND pos.state = 'live'
                    RETURNING pos.plan_no",
                    subscription_no,
                    lease.epoch,
                    &known.iter().map(|(from, _)| from.plan_no).collect::<Vec<_>>(),
                    &known.iter().map(|(from, _)| signed(from.next_seq)).collect::<Vec<_>>(),
                    &known.iter().map(|(_, seen)| signed(*seen)).collect::<Vec<_>>(),
                )
                .fetch_all(self.ledger.pool())
                .await?,
            );
        }
        if !new.is_empty() {
            left.extend(
                sqlx::query_scalar!(
                    "-- first_left_behind
                    INSERT INTO sealbus.positions (subscription_no, plan_no, next_seq, last_hash, seen_seq, state, next_at, epoch)
                    SELECT $1, b.plan_no, b.next_seq, b.last_hash, greatest(b.next_seq, b.seen_seq), 'behind', clock_timestamp(), lease.epoch
                    FROM sealbus.leases lease,
                        unnest($5::bigint[], $6::bigint[], $7::bytea[], $8::bigint[]) AS b (plan_no, next_seq, last_hash, seen_seq)
                    WHERE lease.kind = $2 AND lease.key = $3 AND lease.epoch = $4
                    ON CONFLICT DO NOTHING RETURNING plan_no",
                    subscription_no,
                    lease.kind,
                    lease.key,
                    lease.epoch,
                    &new.iter().map(|(from, _)| from.plan_no).collect::<Vec<_>>(),
                    &new.iter().map(|(from, _)| signed(from.next_seq)).collect::<Vec<_>>(),
                    &new.iter().map(|(from, _)| from.last_hash.as_bytes().to_vec()).collect::<Vec<_>>(),
                    &new.iter().map(|(_, seen)| signed(*seen)).collect::<Vec<_>>(),
                )
                .fetch_all(self.ledger.pool())
                .await?,
            );
        }
        Ok(left)
    }

    /// Notes for plans whose position is not live that their events up to a seq are owed by it. Gives the plans it hit:
    /// for them those events may be acknowledged, or passed over by the sweep.
    pub async fn mark_seen(self, subscription_no: i64, plans: &[(i64, u64)]) -> Result<Vec<i64>, LedgerError> {
        let hit = sqlx::query_scalar!(
            "-- mark_seen
            UPDATE sealbus.positions pos SET seen_seq = greatest(pos.seen_seq, s.seq)
            FROM (SELECT plan_no, max(seq) AS seq FROM unnest($2::bigint[], $3::bigint[]) AS s (plan_no, seq) GROUP BY plan_no) s
            WHERE pos.subscription_no = $1 AND pos.plan_no = s.plan_no AND pos.state <> 'live' RETURNING pos.plan_no",
            subscription_no,
            &plans.iter().map(|(plan_no, _)| *plan_no).collect::<Vec<_>>(),
            &plans.iter().map(|(_, seq)| signed(*seq)).collect::<Vec<_>>(),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(hit)
    }

    /// Positions of the held (subscription, partition) pairs that are due now, the longest due first.
    pub async fn due(self, held: &[(i64, u32)], limit: u32) -> Result<Vec<DuePlan>, LedgerError> {
        let rows = sqlx::query!(
            "-- due_plans
            SELECT pos.subscription_no, p.partition, p.tenant, p.plan, p.plan_no
            FROM unnest($1::bigint[], $2::integer[]) AS held (subscription_no, partition)
            JOIN sealbus.positions pos ON pos.subscription_no = held.subscription_no
            JOIN sealbus.plans p ON p.plan_no = pos.plan_no AND p.partition = held.partition
            WHERE pos.state <> 'live' AND pos.next_at <= clock_timestamp() ORDER BY pos.next_at LIMIT $3",
            &held.iter().map(|(subscription_no, _)| *subscription_no).collect::<Vec<_>>(),
            &held.iter().map(|(_, partition)| i32::try_from(*partition).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
            i64::from(limit),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| DuePlan {
                subscription_no: row.subscription_no,
                partition: row.partition.unsigned_abs(),
                tenant: row.tenant,
                plan: row.plan,
                plan_no: row.plan_no,
            })
            .collect())
    }

    /// Counts an attempt and sets when the next one is due, before replay runs anything of the row: an event that kills its
    /// handler spends its attempts too.
    pub async fn begin_attempt(
        self,
        subscription_no: i64,
        from: &Position,
        retry_in: Duration,
    ) -> Result<bool, LedgerError> {
        let begun = sqlx::query!(
            "-- begin_attempt
            UPDATE sealbus.positions SET attempts = attempts + 1, next_at = clock_timestamp() + make_interval(secs => $5)
            WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state = $4 AND state IN ('parked', 'behind')",
            subscription_no,
            from.plan_no,
            signed(from.next_seq),
            from.state.as_str(),
            retry_in.as_secs_f64(),
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(begun.rows_affected() > 0)
    }

    /// Lets a position follow the stream again, where nothing that was acknowledged is left to apply.
    pub async fn unpark(self, subscription_no: i64, plan_no: i64) -> Result<bool, LedgerError> {
        let unparked = sqlx::query!(
            "-- unpark
            UPDATE sealbus.positions
            SET state = 'live', attempts = 0, next_at = NULL, ask = NULL, first_error = NULL, last_error = NULL
            WHERE subscription_no = $1 AND plan_no = $2 AND next_seq > seen_seq AND state IN ('parked', 'behind')",
            subscription_no,
            plan_no,
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(unparked.rows_affected() > 0)
    }

    /// Carries out an operator's ask: the position goes on from `next_seq` after `last_hash`, parked and due at once, with
    /// all its attempts before it. Only while it stands as read, the ask included.
    pub async fn resume(
        self,
        subscription_no: i64,
        lease: &LeaseEpoch,
        from: &Position,
        next_seq: u64,
        last_hash: Hash,
    ) -> Result<bool, LedgerError> {
        let resumed = sqlx::query!(
            "-- resume
            UPDATE sealbus.positions
            SET next_seq = $5, last_hash = $6, state = 'parked', attempts = 0, next_at = clock_timestamp(), ask = NULL,
                first_error = NULL, last_error = NULL, epoch = $7, moved_at = clock_timestamp()
            WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state = $4 AND ask = $8",
            subscription_no,
            from.plan_no,
            signed(from.next_seq),
            from.state.as_str(),
            signed(next_seq),
            last_hash.as_bytes().as_slice(),
            lease.epoch,
            serde_json::to_value(&from.command).ok(),
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(resumed.rows_affected() > 0)
    }

    /// Clears an ask that is about another event than the position's next.
    pub async fn clear_command(self, subscription_no: i64, from: &Position) -> Result<bool, LedgerError> {
        let cleared = sqlx::query!(
            "-- clear_ask
            UPDATE sealbus.positions SET ask = NULL, next_at = CASE WHEN state IN ('parked', 'behind') THEN next_at END
            WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state = $4 AND ask = $5",
            subscription_no,
            from.plan_no,
            signed(from.next_seq),
            from.state.as_str(),
            serde_json::to_value(&from.command).ok(),
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(cleared.rows_affected() > 0)
    }
}

/// A count as Postgres has it.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
