//! Positions: how far each subscription is in each plan, and the fence that lets it move once.
//!
//! A position moves in the transaction of the effect, by an update that names the `next_seq` and the state it was read with
//! (PROTOCOL, Consume, rule 3). A plan without a row gets its first one under the epoch of the lease by which its standing
//! was read. Whoever misses has no effect: a holder that lost its lease, or one that acted on old knowledge.
//! What happens to a position that cannot move is in [`parking`](crate::delivery::parking).

use std::collections::HashMap;
use std::time::Duration;

use sealbus_core::event::Header;
use sealbus_core::hash::Hash;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::history::trail::signed;
use crate::{Ledger, LedgerError};

/// What a position is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PositionState {
    /// It follows the stream.
    Live,
    /// It was left behind and is replayed from the ledger.
    Deferred,
    /// Its next event failed, and is tried again from the ledger.
    Parked,
    /// Its next event failed as often as the policy allows: a dead letter.
    Dead,
    /// Two validly sealed events claim one place; only an operator ends it.
    Fork,
}

impl PositionState {
    const ALL: [Self; 5] = [Self::Live, Self::Deferred, Self::Parked, Self::Dead, Self::Fork];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deferred => "behind",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Fork => "fork",
        }
    }

    /// The state of that name. The table holds no other: a check constraint says so.
    pub(crate) fn stored(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Fork)
    }
}

impl std::fmt::Display for PositionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an operator asked of a position; carried out while `seq` is still its next event, otherwise cleared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum OperatorCommand {
    /// Try the event again, with all its attempts.
    Redrive {
        /// The position's next event when it was asked.
        seq: u64,
    },
    /// Pass over the event without its effect.
    Skip {
        /// The position's next event when it was asked.
        seq: u64,
    },
    /// End a fork: the ledger's chain stands.
    Settle {
        /// The position's next event when it was asked.
        seq: u64,
        /// The event that stands, which is in the ledger.
        stands: Hash,
    },
}

impl OperatorCommand {
    /// The next event of the position when it was asked.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Redrive { seq } | Self::Skip { seq } | Self::Settle { seq, .. } => *seq,
        }
    }
}

/// The lease by which somebody acts for a share of a subscription. Its epoch is the fencing token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseEpoch {
    /// Kind of the lease.
    pub kind: String,
    /// Key of the lease.
    pub key: String,
    /// Rises whenever the holder changes.
    pub epoch: i64,
}

/// Where a subscription stands in a plan, read in one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The plan.
    pub plan_no: i64,
    /// The seq to apply next.
    pub next_seq: u64,
    /// `event_hash` of the event before it as applied, the plan's genesis where there is none. All zeros where no row
    /// stands and the ledger has lost that event: nothing links to it, so nothing is applied.
    pub last_hash: Hash,
    /// The highest seq that was acknowledged unapplied.
    pub seen_seq: u64,
    /// What the position is doing. Live where there is no row.
    pub state: PositionState,
    /// Whether there is a row.
    pub stored: bool,
    /// Runs of the handler on the next event that count already.
    pub attempts: u32,
    /// What an operator asked.
    pub command: Option<OperatorCommand>,
    /// Whether the ledger's event before `next_seq` is the one that was applied.
    pub agrees: bool,
}

/// One step of a position.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// From where, as read.
    pub from: &'a Position,
    /// The seq to apply next.
    pub next_seq: u64,
    /// `event_hash` of the event before it.
    pub last_hash: Hash,
}

/// The position of each subscription in each plan. From [`Ledger::positions`].
#[derive(Clone, Copy)]
pub struct Positions<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Positions<'_> {
    /// Where a subscription stands in some plans, by plan number. A subscription without a floor stands nowhere.
    ///
    /// A plan without a row stands at 1 + its highest sealed seq below the floor; row and floor are read in this one
    /// statement, never from a cached floor (PROTOCOL, Consume, rule 5).
    pub async fn read(self, subscription_no: i64, plan_nos: &[i64]) -> Result<HashMap<i64, Position>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- standings
            SELECT pl.plan_no, pl.tenant, pl.plan, pos.next_seq AS "next_seq?", pos.last_hash AS "last_hash?", pos.seen_seq AS "seen_seq?",
                pos.state AS "state?", pos.attempts AS "attempts?", pos.ask AS "ask?", below.seq AS "below?", e.event_hash AS "ledger_hash?"
            FROM unnest($2::bigint[]) AS w (plan_no)
            JOIN sealbus.plans pl ON pl.plan_no = w.plan_no
            JOIN sealbus.floors f ON f.subscription_no = $1 AND f.partition = pl.partition
            LEFT JOIN sealbus.positions pos ON pos.subscription_no = $1 AND pos.plan_no = pl.plan_no
            LEFT JOIN LATERAL (
                SELECT l.seq FROM sealbus.log_leaves l
                WHERE pos.plan_no IS NULL AND l.plan_no = pl.plan_no AND l.log_id = $3 AND l.leaf_index < f.floor
                ORDER BY l.seq DESC LIMIT 1
            ) below ON true
            LEFT JOIN sealbus.events e ON e.plan_no = pl.plan_no AND e.seq = coalesce(pos.next_seq - 1, below.seq)"#,
            subscription_no,
            plan_nos,
            self.ledger.deployment().log_id,
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let origin = &self.ledger.deployment().origin;
        let standings = rows.into_iter().map(|row| {
            let next_seq = row.next_seq.or(row.below.map(|seq| seq + 1)).unwrap_or(1).unsigned_abs();
            let in_ledger = match next_seq {
                1 => Some(Header::genesis(origin, &row.tenant, &row.plan)),
                _ => row.ledger_hash.as_deref().and_then(Hash::from_slice),
            };
            let applied = match row.last_hash.as_deref() {
                Some(stored) => Hash::from_slice(stored),
                None => in_ledger,
            };
            let standing = Position {
                plan_no: row.plan_no,
                next_seq,
                last_hash: applied.unwrap_or(Hash([0; 32])),
                seen_seq: row.seen_seq.unwrap_or(0).unsigned_abs(),
                state: row.state.as_deref().map_or(PositionState::Live, PositionState::stored),
                stored: row.next_seq.is_some(),
                attempts: row.attempts.unwrap_or(0).unsigned_abs(),
                command: row.ask.and_then(|ask| serde_json::from_value(ask).ok()),
                agrees: applied.is_some() && applied == in_ledger,
            };
            (row.plan_no, standing)
        });
        Ok(standings.collect())
    }

    /// Takes out rows that say no more than the floor does: live, at rest for `idle`, their last event sealed below the
    /// floor and the ledger's own (PROTOCOL, Consume, rule 6). With them go the attempts of plans that have no row.
    pub async fn prune(self, subscription_no: i64, idle: Duration, limit: u32) -> Result<u64, LedgerError> {
        let pruned = sqlx::query!(
            "-- prune_positions
            WITH at_rest AS (
                SELECT pos.plan_no, pos.next_seq FROM sealbus.positions pos
                JOIN sealbus.plans p ON p.plan_no = pos.plan_no
                JOIN sealbus.floors f ON f.subscription_no = pos.subscription_no AND f.partition = p.partition
                JOIN sealbus.log_leaves l ON l.log_id = $2 AND l.plan_no = pos.plan_no AND l.seq = pos.next_seq - 1 AND l.leaf_index < f.floor
                JOIN sealbus.events e ON e.plan_no = pos.plan_no AND e.seq = pos.next_seq - 1 AND e.event_hash = pos.last_hash
                WHERE pos.subscription_no = $1 AND pos.state = 'live' AND pos.moved_at <= clock_timestamp() - make_interval(secs => $3)
                LIMIT $4
            ), pruned AS (
                DELETE FROM sealbus.positions pos USING at_rest
                WHERE pos.subscription_no = $1 AND pos.plan_no = at_rest.plan_no AND pos.state = 'live' AND pos.next_seq = at_rest.next_seq
                RETURNING pos.plan_no
            ), forgotten AS (
                DELETE FROM sealbus.attempts a USING pruned WHERE a.subscription_no = $1 AND a.plan_no = pruned.plan_no
            )
            SELECT plan_no FROM pruned",
            subscription_no,
            self.ledger.deployment().log_id,
            idle.as_secs_f64(),
            i64::from(limit),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(pruned.len() as u64)
    }
}

/// Moves positions within the transaction of their effects. False when any of them was not where it was read, or its first
/// row met another epoch or another row: the transaction must then be rolled back.
///
/// A moved position has no attempts; one that is not live is due at once.
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
            &known.iter().map(|step| signed(step.from.next_seq)).collect::<Vec<_>>(),
            &known.iter().map(|step| step.from.state.as_str().to_owned()).collect::<Vec<_>>(),
            &known.iter().map(|step| signed(step.next_seq)).collect::<Vec<_>>(),
            &known.iter().map(|step| step.last_hash.as_bytes().to_vec()).collect::<Vec<_>>(),
        )
        .execute(&mut *connection)
        .await?;
        if updated.rows_affected() != known.len() as u64 {
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
            &new.iter().map(|step| signed(step.next_seq)).collect::<Vec<_>>(),
            &new.iter().map(|step| step.last_hash.as_bytes().to_vec()).collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        if inserted.rows_affected() != new.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}
