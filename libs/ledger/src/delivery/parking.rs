//! Positions that cannot move now: how they are set aside, deferred, noted, taken up again and released.
//!
//! Each statement has the conditions of `docs/spec/protocol.md#consume-1`, `#consume-3` and `#consume-4`; each of them is
//! necessary. A method that returns `false` changed nothing: the caller reads the position again.

use std::time::Duration;

use crate::LedgerError;
use crate::delivery::dead_letters::record_attempts;
use crate::delivery::positions::{
    ATTEMPTS, LeaseEpoch, NEXT_SEQ, Position, PositionState, Positions, SEEN_SEQ, bigints,
};
use crate::pg::Column;

const PARTITION: Column = Column::new("plans", "partition");

/// What a statement does about a position whose row another transaction has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// The statement waits for the row.
    Wait,
    /// The statement leaves the row out, as if the position were not where it was read.
    Skip,
}

/// How to set a position aside.
#[derive(Clone, Debug)]
pub struct SetAside<'a> {
    /// [`PositionState::Parked`], [`PositionState::Dead`] or [`PositionState::Fork`].
    pub state: PositionState,
    /// The highest seq that is acknowledged because the position is set aside.
    pub seen_seq: u64,
    /// Handler runs for the next event that count from now on.
    pub attempts: u32,
    /// The pause until replay takes the position up; `None` for never.
    pub retry_in: Option<Duration>,
    /// The errors, oldest first. They are recorded as attempts, and the last one is shown as the position's error.
    pub errors: &'a [String],
}

/// A position that is due for replay or for an operator command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuePlan {
    /// The number of the subscription.
    pub subscription_no: i64,
    /// The partition of the plan.
    pub partition: u32,
    /// The tenant of the plan.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The number of the plan.
    pub plan_no: i64,
}

impl Positions<'_> {
    /// Parks a position, makes it a dead letter or stops it at a fork. Returns whether it did; the position must still be as it
    /// was read.
    pub async fn set_aside(
        self,
        subscription_no: i64,
        lease: &LeaseEpoch,
        from: &Position,
        aside: &SetAside<'_>,
    ) -> Result<bool, LedgerError> {
        let operation = async {
            let mut transaction = self.ledger.background().begin().await?;
            let (next_seq, seen_seq) = (NEXT_SEQ.bigint(from.next_seq)?, SEEN_SEQ.bigint(aside.seen_seq)?);
            let (state, attempts) = (aside.state.as_str(), ATTEMPTS.integer(aside.attempts)?);
            let (first, last) = (aside.errors.first(), aside.errors.last());
            let retry_in = aside.retry_in.map(|pause| pause.as_secs_f64());
            let written = if from.stored {
                sqlx::query!(
                    "-- set_aside
                    UPDATE sealbus.positions
                    SET state = $5, seen_seq = greatest(seen_seq, next_seq, $6::bigint), attempts = $7,
                        next_at = CASE WHEN ask IS NULL THEN clock_timestamp() + make_interval(secs => $8) ELSE clock_timestamp() END,
                        first_error = coalesce(first_error, $9), last_error = coalesce($10, last_error), epoch = $11,
                        moved_at = CASE WHEN state = 'live' THEN clock_timestamp() ELSE moved_at END
                    WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state = $4",
                    subscription_no,
                    from.plan_no,
                    next_seq,
                    from.state.as_str(),
                    state,
                    seen_seq,
                    attempts,
                    retry_in,
                    first,
                    last,
                    lease.epoch,
                )
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
                    next_seq,
                    from.last_hash.as_bytes().as_slice(),
                    state,
                    seen_seq,
                    attempts,
                    retry_in,
                    first,
                    last,
                    lease.kind,
                    lease.key,
                    lease.epoch,
                )
            };
            if written.execute(&mut *transaction).await?.rows_affected() == 0 {
                transaction.rollback().await?;
                return Ok(false);
            }
            record_attempts(&mut transaction, subscription_no, from, aside.errors).await?;
            transaction.commit().await?;
            Ok(true)
        };
        self.ledger.background().within(operation).await
    }

    /// Defers live positions: they are replayed from the ledger, up to at least the given seqs. Returns the numbers of the plans
    /// whose positions were still as they were read; the others are unchanged.
    pub async fn defer(
        self,
        subscription_no: i64,
        lease: &LeaseEpoch,
        plans: &[(&Position, u64)],
        locked: Locked,
    ) -> Result<Vec<i64>, LedgerError> {
        let (known, new): (Vec<_>, Vec<_>) = plans.iter().partition(|(from, _)| from.stored);
        let mut deferred = Vec::with_capacity(plans.len());
        if !known.is_empty() {
            let plan_nos = sqlx::query_scalar!(
                "-- defer
                WITH free AS (
                    SELECT plan_no FROM sealbus.positions WHERE $6 AND subscription_no = $1 AND plan_no = ANY ($3) FOR UPDATE SKIP LOCKED
                )
                UPDATE sealbus.positions pos
                SET state = 'behind', seen_seq = greatest(pos.seen_seq, pos.next_seq, b.seen_seq), next_at = clock_timestamp(), epoch = $2,
                    moved_at = clock_timestamp()
                FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS b (plan_no, next_seq, seen_seq)
                WHERE pos.subscription_no = $1 AND pos.plan_no = b.plan_no AND pos.next_seq = b.next_seq AND pos.state = 'live'
                    AND (NOT $6 OR pos.plan_no IN (SELECT plan_no FROM free))
                RETURNING pos.plan_no",
                subscription_no,
                lease.epoch,
                &known.iter().map(|(from, _)| from.plan_no).collect::<Vec<_>>(),
                &bigints(known.iter().map(|(from, _)| from.next_seq))?,
                &bigints(known.iter().map(|(_, seen)| *seen))?,
                locked == Locked::Skip,
            );
            deferred.extend(plan_nos.fetch_all(self.ledger.background()).await?);
        }
        if !new.is_empty() {
            let plan_nos = sqlx::query_scalar!(
                "-- first_deferred
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
                &bigints(new.iter().map(|(from, _)| from.next_seq))?,
                &new.iter().map(|(from, _)| from.last_hash.as_bytes().to_vec()).collect::<Vec<_>>(),
                &bigints(new.iter().map(|(_, seen)| *seen))?,
            );
            deferred.extend(plan_nos.fetch_all(self.ledger.background()).await?);
        }
        Ok(deferred)
    }

    /// Records, for plans whose position is not live, the highest seq that the position still has to apply. Returns the numbers
    /// of the plans whose row was updated: their events up to that seq may be acknowledged, or passed by the sweep.
    pub async fn mark_seen(
        self,
        subscription_no: i64,
        plans: &[(i64, u64)],
        locked: Locked,
    ) -> Result<Vec<i64>, LedgerError> {
        let hit = sqlx::query_scalar!(
            "-- mark_seen
            WITH free AS (
                SELECT plan_no FROM sealbus.positions WHERE $4 AND subscription_no = $1 AND plan_no = ANY ($2) FOR UPDATE SKIP LOCKED
            )
            UPDATE sealbus.positions pos SET seen_seq = greatest(pos.seen_seq, s.seq)
            FROM (SELECT plan_no, max(seq) AS seq FROM unnest($2::bigint[], $3::bigint[]) AS s (plan_no, seq) GROUP BY plan_no) s
            WHERE pos.subscription_no = $1 AND pos.plan_no = s.plan_no AND pos.state <> 'live'
                AND (NOT $4 OR pos.plan_no IN (SELECT plan_no FROM free))
            RETURNING pos.plan_no",
            subscription_no,
            &plans.iter().map(|(plan_no, _)| *plan_no).collect::<Vec<_>>(),
            &bigints(plans.iter().map(|(_, seq)| *seq))?,
            locked == Locked::Skip,
        );
        Ok(hit.fetch_all(self.ledger.background()).await?)
    }

    /// Returns the positions of some (subscription, partition) pairs that are due now: up to `limit` of each subscription, those
    /// that fell due first. A position in a state that this release does not know is never due, nor is one whose plan has a damaged row.
    ///
    /// It reads at most `limit` rows of each pair, by the index in which they are ordered by the time when they are due.
    pub async fn due(self, assignments: &[(i64, u32)], limit: u32) -> Result<Vec<DuePlan>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- due_plans
            WITH held AS (
                SELECT subscription_no, array_agg(partition) AS partitions
                FROM unnest($1::bigint[], $2::integer[]) AS held (subscription_no, partition) GROUP BY subscription_no
            )
            SELECT held.subscription_no AS "subscription_no!", p.partition AS "partition!", p.tenant AS "tenant!", p.plan AS "plan!",
                p.plan_no
            FROM held CROSS JOIN LATERAL (
                SELECT pos.plan_no, pos.next_at FROM unnest(held.partitions) AS part (number)
                CROSS JOIN LATERAL (
                    SELECT pos.plan_no, pos.next_at FROM sealbus.positions pos
                    WHERE pos.subscription_no * 64 + pos.partition = held.subscription_no * 64 + part.number AND pos.state <> 'live'
                        AND pos.state IN ('behind', 'parked', 'dead', 'fork') AND pos.next_at <= statement_timestamp()
                    ORDER BY pos.next_at LIMIT $3
                ) pos
                ORDER BY pos.next_at LIMIT $3
            ) due
            JOIN sealbus.plans p ON p.plan_no = due.plan_no
            WHERE p.partition IS NOT NULL AND p.tenant IS NOT NULL AND p.plan IS NOT NULL
            ORDER BY due.next_at"#,
            &assignments.iter().map(|(subscription_no, _)| *subscription_no).collect::<Vec<_>>(),
            &assignments.iter().map(|(_, number)| PARTITION.integer(*number)).collect::<Result<Vec<_>, _>>()?,
            i64::from(limit),
        );
        let due = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            Ok(DuePlan {
                subscription_no: row.subscription_no,
                partition: PARTITION.of_row(row.plan_no).read(row.partition)?,
                tenant: row.tenant,
                plan: row.plan,
                plan_no: row.plan_no,
            })
        });
        due.collect()
    }

    /// Counts an attempt and sets when the next one is due. Replay calls this before it runs anything, so that an event that
    /// kills its process spends its attempts too. Returns whether it did; the position must still be as it was read.
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
            NEXT_SEQ.bigint(from.next_seq)?,
            from.state.as_str(),
            retry_in.as_secs_f64(),
        );
        Ok(begun.execute(self.ledger.background()).await?.rows_affected() > 0)
    }

    /// Takes back attempts at an event that did not fail, but were interrupted. The event is due at once. Has no effect if the
    /// position is not at the event any more, or is not replayed.
    pub async fn take_back_attempts(
        self,
        subscription_no: i64,
        plan_no: i64,
        seq: u64,
        attempts: u32,
    ) -> Result<(), LedgerError> {
        let taken_back = sqlx::query!(
            "-- take_back_attempts
            UPDATE sealbus.positions SET attempts = greatest(attempts - $4, 0), next_at = least(next_at, clock_timestamp())
            WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state IN ('parked', 'behind')",
            subscription_no,
            plan_no,
            NEXT_SEQ.bigint(seq)?,
            ATTEMPTS.integer(attempts)?,
        );
        taken_back.execute(self.ledger.background()).await?;
        Ok(())
    }

    /// Makes a position live again, if nothing that was acknowledged is left to apply. Returns whether it did.
    pub async fn unpark(self, subscription_no: i64, plan_no: i64) -> Result<bool, LedgerError> {
        let unparked = sqlx::query!(
            "-- unpark
            UPDATE sealbus.positions
            SET state = 'live', attempts = 0, next_at = NULL, ask = NULL, first_error = NULL, last_error = NULL
            WHERE subscription_no = $1 AND plan_no = $2 AND next_seq > seen_seq AND state IN ('parked', 'behind')",
            subscription_no,
            plan_no,
        );
        Ok(unparked.execute(self.ledger.background()).await?.rows_affected() > 0)
    }
}
