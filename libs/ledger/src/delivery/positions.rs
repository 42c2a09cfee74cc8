//! Positions: the state of each subscription in each plan, and the fence that lets a position move only once.
//!
//! A position moves in the transaction of the effect, by an update that names the `next_seq` and the state that were read
//! (`docs/spec/protocol.md#consume-3`). The first row of a plan is inserted only under the epoch of the lease under which the
//! position was read. A stale writer changes no row: one that lost its lease, or that read the position before another move.

use std::collections::HashMap;
use std::time::Duration;

use sealbus_core::event::Header;
use sealbus_core::hash::Hash;
use serde_json::Value;
use sqlx::PgConnection;

use crate::delivery::command::OperatorCommand;
use crate::pg::Column;
use crate::{Ledger, LedgerError};

pub(super) const NEXT_SEQ: Column = Column::new("positions", "next_seq");
pub(super) const LAST_HASH: Column = Column::new("positions", "last_hash");
pub(super) const SEEN_SEQ: Column = Column::new("positions", "seen_seq");
pub(super) const ATTEMPTS: Column = Column::new("positions", "attempts");

/// The state of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PositionState {
    /// The position follows the stream.
    Live,
    /// The position is replayed from the ledger. Stored as `behind`.
    Deferred,
    /// The next event of the position failed and is tried again from the ledger.
    Parked,
    /// The next event of the position failed as often as the retry policy allows: a dead letter.
    Dead,
    /// Two validly sealed events claim one place. Only an operator can resume the position.
    Fork,
}

impl PositionState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Live, Self::Deferred, Self::Parked, Self::Dead, Self::Fork];

    /// Returns the word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deferred => "behind",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Fork => "fork",
        }
    }

    /// Parses the word that is stored for a plan.
    pub(super) fn stored(plan_no: i64, word: &str) -> Result<Self, LedgerError> {
        let column = Column::new("positions", "state").of_row(plan_no);
        Self::find(word).ok_or_else(|| column.corrupt(format!("unknown state {word:?}")))
    }

    /// Returns the state of this word; `None` if this release does not know it.
    pub(super) fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl std::fmt::Display for PositionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The lease under which a process works on an assignment. Its epoch is the fencing token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseEpoch {
    /// The kind of the lease.
    pub kind: String,
    /// The key of the lease.
    pub key: String,
    /// The epoch, which rises whenever the lease is taken.
    pub epoch: i64,
}

/// The position of a subscription in a plan, as one statement read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the plan.
    pub plan_no: i64,
    /// The seq to apply next.
    pub next_seq: u64,
    /// The `event_hash` of the last applied event, or the plan's genesis if none was applied. It is all zeros if there is no
    /// row and the ledger lacks that event: then no event links to it, and none is applied.
    pub last_hash: Hash,
    /// The highest seq that was acknowledged although it was not applied.
    pub seen_seq: u64,
    /// The state of the position. It is live if there is no row.
    pub state: PositionState,
    /// Whether there is a row.
    pub stored: bool,
    /// Handler runs for the next event that count.
    pub attempts: u32,
    /// The operator command that was not carried out yet.
    pub command: Option<OperatorCommand>,
    /// Whether the ledger's event before `next_seq` is the one that was applied.
    pub agrees: bool,
}

/// One move of a position.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// The position as it was read.
    pub from: &'a Position,
    /// The seq to apply next.
    pub next_seq: u64,
    /// The `event_hash` of the event before that.
    pub last_hash: Hash,
}

/// How long what [`Positions::prune`] deletes is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The time without a move after which a position may be deleted.
    pub idle_positions: Duration,
    /// The age at which an attempt at an applied event is deleted.
    pub attempts: Duration,
}

/// A row of `positions` as one statement reads it, with what the floor and the ledger say about its plan.
struct PositionRow {
    plan_no: i64,
    tenant: String,
    plan: String,
    next_seq: Option<i64>,
    last_hash: Option<Vec<u8>>,
    seen_seq: Option<i64>,
    state: Option<String>,
    attempts: Option<i32>,
    ask: Option<Value>,
    /// The highest sealed seq below the floor, if there is no row.
    below: Option<i64>,
    /// The hash of the ledger's event before the next one.
    ledger_hash: Option<Vec<u8>>,
}

impl PositionRow {
    fn into_position(self, origin: &str) -> Result<Position, LedgerError> {
        let plan_no = self.plan_no;
        let below = self.below.map(|seq| Column::new("log_leaves", "seq").of_row(plan_no).read::<_, u64>(seq));
        let stored = self.next_seq.map(|seq| NEXT_SEQ.of_row(plan_no).read(seq)).transpose()?;
        let next_seq = match stored {
            Some(next_seq) => next_seq,
            None => below.transpose()?.unwrap_or(0) + 1,
        };
        let in_ledger = match next_seq {
            1 => Some(Header::genesis(origin, &self.tenant, &self.plan)),
            // A stored hash that is not 32 bytes long is no event of the ledger.
            _ => self.ledger_hash.as_deref().and_then(Hash::from_slice),
        };
        let applied = match self.last_hash.as_deref() {
            Some(stored) => Some(LAST_HASH.of_row(plan_no).hash(stored)?),
            None => in_ledger,
        };
        Ok(Position {
            plan_no,
            next_seq,
            last_hash: applied.unwrap_or(Hash([0; 32])),
            seen_seq: SEEN_SEQ.of_row(plan_no).read(self.seen_seq.unwrap_or(0))?,
            state: match self.state.as_deref() {
                Some(word) => PositionState::stored(plan_no, word)?,
                None => PositionState::Live,
            },
            stored: stored.is_some(),
            attempts: ATTEMPTS.of_row(plan_no).read(self.attempts.unwrap_or(0))?,
            command: self.ask.map(|ask| OperatorCommand::stored(plan_no, ask)).transpose()?,
            agrees: applied.is_some() && applied == in_ledger,
        })
    }
}

/// Access to positions, from [`Ledger::positions`].
#[derive(Clone, Copy)]
pub struct Positions<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Positions<'_> {
    /// Returns the positions of a subscription in some plans, by plan number. A subscription without a floor has no position.
    ///
    /// The position in a plan without a row is 1 + the highest sealed seq below the floor. Row and floor are read in one
    /// statement, never from a cached floor (`docs/spec/protocol.md#consume-5`). A row that is not of its form is an error of its
    /// own, [`LedgerError::Corrupt`], which names the row.
    pub async fn read(
        self,
        subscription_no: i64,
        plan_nos: &[i64],
    ) -> Result<HashMap<i64, Result<Position, LedgerError>>, LedgerError> {
        let rows = sqlx::query_as!(
            PositionRow,
            r#"-- read_positions
            SELECT pl.plan_no, pl.tenant, pl.plan, pos.next_seq AS "next_seq?", pos.last_hash AS "last_hash?", pos.seen_seq AS "seen_seq?",
                pos.state AS "state?", pos.attempts AS "attempts?", pos.ask AS "ask?", below.seq AS "below?", e.event_hash AS "ledger_hash?"
            FROM unnest($2::bigint[]) AS w (plan_no)
            JOIN sealbus.plans pl ON pl.plan_no = w.plan_no
            JOIN sealbus.floors f ON f.subscription_no = $1 AND f.partition = pl.partition
            LEFT JOIN sealbus.positions pos ON pos.subscription_no = $1 AND pos.plan_no = pl.plan_no
            LEFT JOIN LATERAL (
                SELECT CASE WHEN pos.plan_no IS NULL THEN sealbus.last_seq_below($3, pl.plan_no, f.floor) END AS seq OFFSET 0
            ) below ON true
            LEFT JOIN sealbus.events e ON e.plan_no = pl.plan_no AND e.seq = coalesce(pos.next_seq - 1, below.seq)"#,
            subscription_no,
            plan_nos,
            self.ledger.deployment().log_id,
        )
        .fetch_all(self.ledger.background())
        .await?;
        let origin = &self.ledger.deployment().origin;
        Ok(rows.into_iter().map(|row| (row.plan_no, row.into_position(origin))).collect())
    }

    /// Prunes up to `limit` positions of a subscription, those with the lowest plan numbers above `after`. Returns the number of
    /// deleted rows, and the plan number to continue after; `None` at the end.
    ///
    /// It deletes rows that say no more than the floor does: live ones that have not moved for `idle`, whose last applied event is
    /// sealed below the floor and is the ledger's event. The attempts of their plans are deleted too, and of the other plans those
    /// attempts at applied events that are older than the retention (`docs/spec/protocol.md#consume-6`). Rows that another
    /// transaction has locked are left out.
    pub async fn prune(
        self,
        subscription_no: i64,
        after: i64,
        retention: &Retention,
        limit: u32,
    ) -> Result<(u64, Option<i64>), LedgerError> {
        let pruned = sqlx::query!(
            r#"-- prune_positions
            WITH examined AS MATERIALIZED (
                SELECT pos.plan_no, pos.next_seq, pos.last_hash, pos.state, pos.moved_at FROM sealbus.positions pos
                WHERE pos.subscription_no = $1 AND pos.plan_no > $2 ORDER BY pos.plan_no LIMIT $3
            ), at_rest AS MATERIALIZED (
                SELECT pos.plan_no, pos.next_seq FROM examined pos
                JOIN sealbus.plans p ON p.plan_no = pos.plan_no
                JOIN sealbus.floors f ON f.subscription_no = $1 AND f.partition = p.partition
                JOIN sealbus.log_leaves l ON l.log_id = $4 AND l.plan_no = pos.plan_no AND l.seq = pos.next_seq - 1 AND l.leaf_index < f.floor
                JOIN sealbus.events e ON e.plan_no = pos.plan_no AND e.seq = pos.next_seq - 1 AND e.event_hash = pos.last_hash
                JOIN sealbus.positions own ON own.subscription_no = $1 AND own.plan_no = pos.plan_no
                WHERE pos.state = 'live' AND pos.moved_at <= clock_timestamp() - make_interval(secs => $5)
                FOR UPDATE OF own SKIP LOCKED
            ), pruned AS (
                DELETE FROM sealbus.positions pos USING at_rest
                WHERE pos.subscription_no = $1 AND pos.plan_no = at_rest.plan_no AND pos.state = 'live' AND pos.next_seq = at_rest.next_seq
                RETURNING pos.plan_no
            ), forgotten AS (
                DELETE FROM sealbus.attempts a USING examined pos
                WHERE a.subscription_no = $1 AND a.plan_no = pos.plan_no AND (
                    a.plan_no IN (SELECT plan_no FROM pruned)
                    OR (a.seq < pos.next_seq AND a.at <= clock_timestamp() - make_interval(secs => $6)))
            )
            SELECT (SELECT count(*) FROM pruned) AS "pruned!", (SELECT count(*) FROM examined) AS "examined!",
                (SELECT max(plan_no) FROM examined) AS last"#,
            subscription_no,
            after,
            i64::from(limit),
            self.ledger.deployment().log_id,
            retention.idle_positions.as_secs_f64(),
            retention.attempts.as_secs_f64(),
        );
        let row = pruned.fetch_one(self.ledger.background()).await?;
        let next = row.last.filter(|_| row.examined >= i64::from(limit));
        Ok((Column::new("positions", "count(*)").read(row.pruned)?, next))
    }
}

/// Moves positions, in the transaction of their effects. A moved position has no attempts; one that is not live is due at once.
///
/// Returns `false` if any position is not where it was read, or if a first row met another epoch or another row. The caller
/// must then roll the transaction back.
pub async fn advance(
    connection: &mut PgConnection,
    subscription_no: i64,
    lease: &LeaseEpoch,
    moves: &[Move<'_>],
) -> Result<bool, LedgerError> {
    let (known, new): (Vec<&Move>, Vec<&Move>) = moves.iter().partition(|step| step.from.stored);
    if !known.is_empty() {
        let updated = sqlx::query!(
            "-- advance
            UPDATE sealbus.positions pos
            SET next_seq = m.next_seq, last_hash = m.last_hash, attempts = 0, first_error = NULL, last_error = NULL, epoch = $2,
                next_at = CASE WHEN pos.state = 'live' THEN NULL ELSE clock_timestamp() END, moved_at = clock_timestamp()
            FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bytea[]) AS m (plan_no, from_seq, state, next_seq, last_hash)
            WHERE pos.subscription_no = $1 AND pos.plan_no = m.plan_no AND pos.next_seq = m.from_seq AND pos.state = m.state",
            subscription_no,
            lease.epoch,
            &known.iter().map(|step| step.from.plan_no).collect::<Vec<_>>(),
            &bigints(known.iter().map(|step| step.from.next_seq))?,
            &known.iter().map(|step| step.from.state.as_str().to_owned()).collect::<Vec<_>>(),
            &bigints(known.iter().map(|step| step.next_seq))?,
            &known.iter().map(|step| step.last_hash.as_bytes().to_vec()).collect::<Vec<_>>(),
        );
        if updated.execute(&mut *connection).await?.rows_affected() != known.len() as u64 {
            return Ok(false);
        }
    }
    if !new.is_empty() {
        let inserted = sqlx::query!(
            "-- first_positions
            INSERT INTO sealbus.positions (subscription_no, plan_no, next_seq, last_hash, epoch)
            SELECT $1, m.plan_no, m.next_seq, m.last_hash, lease.epoch
            FROM sealbus.leases lease, unnest($5::bigint[], $6::bigint[], $7::bytea[]) AS m (plan_no, next_seq, last_hash)
            WHERE lease.kind = $2 AND lease.key = $3 AND lease.epoch = $4
            ON CONFLICT DO NOTHING",
            subscription_no,
            lease.kind,
            lease.key,
            lease.epoch,
            &new.iter().map(|step| step.from.plan_no).collect::<Vec<_>>(),
            &bigints(new.iter().map(|step| step.next_seq))?,
            &new.iter().map(|step| step.last_hash.as_bytes().to_vec()).collect::<Vec<_>>(),
        );
        return Ok(inserted.execute(connection).await?.rows_affected() == new.len() as u64);
    }
    Ok(true)
}

/// Converts the seqs of positions.
pub(super) fn bigints(seqs: impl Iterator<Item = u64>) -> Result<Vec<i64>, LedgerError> {
    seqs.map(|seq| NEXT_SEQ.bigint(seq)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_as_it_was_stored() {
        for state in PositionState::ALL {
            assert_eq!(PositionState::stored(1, state.as_str()).unwrap(), state);
        }
    }

    #[test]
    fn an_unknown_state_names_its_column_and_plan() {
        let error = PositionState::stored(42, "paused").unwrap_err().to_string();
        assert_eq!(error, r#"positions.state of row 42 is invalid: unknown state "paused""#);
    }
}
