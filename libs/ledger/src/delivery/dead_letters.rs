//! The positions that are not live, for operators, and the errors of failed handler runs. These are history for people; no
//! decision depends on them.

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_core::timestamp::Timestamp;
use sqlx::PgConnection;

use crate::delivery::command::OperatorCommand;
use crate::delivery::positions::{ATTEMPTS, LAST_HASH, NEXT_SEQ, Position, PositionState, Positions, SEEN_SEQ};
use crate::pg::{Column, bound};
use crate::stored_time::StoredTime;
use crate::{Ledger, LedgerError};

const NEXT_AT: Column = Column::new("positions", "next_at");

/// A selection of positions to list.
#[derive(Clone, Debug, Default)]
pub struct BlockedQuery {
    /// Only those of this subscription.
    pub subscription: Option<Subscription>,
    /// Only those in plans of this tenant.
    pub tenant: Option<Tenant>,
    /// Only those in plans of this name.
    pub plan: Option<Plan>,
    /// Only those in these states. If it is empty, all states but live.
    pub states: Vec<PositionState>,
    /// The highest number of positions.
    pub limit: u32,
}

/// A position that is not live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedPosition {
    /// The name of the subscription.
    pub subscription: String,
    /// The tenant of the plan.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The next event to apply, with which the position waits.
    pub seq: u64,
    /// The type of that event; `None` if the ledger lacks it.
    pub event_type: Option<String>,
    /// The hash of the event that was applied last, or the genesis of the plan.
    pub last_hash: Hash,
    /// The last event that was acknowledged and not applied.
    pub seen_seq: u64,
    /// The state of the position.
    pub state: PositionState,
    /// Handler runs for the next event that count.
    pub attempts: u32,
    /// When the position is due; `None` if it waits for an operator.
    pub next_at: Option<Timestamp>,
    /// The error of the first failed attempt.
    pub first_error: Option<String>,
    /// The error of the last failed attempt.
    pub last_error: Option<String>,
    /// The operator command that was not carried out yet.
    pub command: Option<OperatorCommand>,
}

/// Positions that are not live.
#[derive(Debug, Default)]
pub struct BlockedList {
    /// The positions that can be read.
    pub positions: Vec<BlockedPosition>,
    /// Those that cannot, each as an error that names the column and the row.
    pub unreadable: Vec<LedgerError>,
}

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

/// A position that is not live, with its attempts and the event that it waits with.
#[derive(Clone, Debug)]
pub struct BlockedDetail {
    /// The position.
    pub position: BlockedPosition,
    /// The failed attempts at the event, oldest first.
    pub attempts: Vec<Attempt>,
    /// The event; `None` if the ledger lacks it.
    pub record: Option<Record>,
}

/// Access to the positions that are not live, from [`Ledger::dead_letters`].
#[derive(Clone, Copy)]
pub struct DeadLetters<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl DeadLetters<'_> {
    /// Returns positions that are not live. Those that moved least recently come first. One that cannot be read does not hide others.
    pub async fn list(self, query: &BlockedQuery) -> Result<BlockedList, LedgerError> {
        let states: Vec<String> = query.states.iter().map(|state| state.as_str().to_owned()).collect();
        let rows = sqlx::query!(
            r#"-- blocked_positions
            SELECT s.name, p.plan_no, p.tenant, p.plan, pos.next_seq, pos.last_hash, e.type AS "event_type?", pos.seen_seq, pos.state, pos.attempts,
                pos.next_at AS "next_at: StoredTime", pos.first_error, pos.last_error, pos.ask
            FROM sealbus.positions pos
            JOIN sealbus.subscriptions s ON s.subscription_no = pos.subscription_no
            JOIN sealbus.plans p ON p.plan_no = pos.plan_no
            LEFT JOIN sealbus.events e ON e.plan_no = pos.plan_no AND e.seq = pos.next_seq
            WHERE pos.state <> 'live' AND ($1::text IS NULL OR s.name = $1) AND ($2::text IS NULL OR p.tenant = $2)
                AND ($3::text IS NULL OR p.plan = $3) AND (cardinality($4::text[]) = 0 OR pos.state = ANY ($4))
            ORDER BY pos.moved_at, s.name, p.tenant, p.plan LIMIT $5"#,
            query.subscription.as_ref().map(Subscription::as_str),
            query.tenant.as_ref().map(Tenant::as_str),
            query.plan.as_ref().map(Plan::as_str),
            &states,
            i64::from(query.limit),
        );
        let mut list = BlockedList::default();
        let read = rows.fetch_all(self.ledger.background()).await?.into_iter().map(|row| {
            Ok(BlockedPosition {
                subscription: row.name,
                tenant: row.tenant,
                plan: row.plan,
                seq: NEXT_SEQ.of_row(row.plan_no).read(row.next_seq)?,
                event_type: row.event_type,
                last_hash: LAST_HASH.of_row(row.plan_no).hash(&row.last_hash)?,
                seen_seq: SEEN_SEQ.of_row(row.plan_no).read(row.seen_seq)?,
                state: PositionState::stored(row.plan_no, &row.state)?,
                attempts: ATTEMPTS.of_row(row.plan_no).read(row.attempts)?,
                next_at: row.next_at.map(|at| NEXT_AT.of_row(row.plan_no).time(at)).transpose()?,
                first_error: row.first_error,
                last_error: row.last_error,
                command: row.ask.map(|ask| OperatorCommand::stored(row.plan_no, ask)).transpose()?,
            })
        });
        for position in read {
            match position {
                Ok(position) => list.positions.push(position),
                Err(error) => list.unreadable.push(error),
            }
        }
        Ok(list)
    }

    /// Returns one position with its attempts and its event. Returns `None` if the position does not exist or is live.
    pub async fn find(
        self,
        subscription: &Subscription,
        tenant: &Tenant,
        plan: &Plan,
    ) -> Result<Option<BlockedDetail>, LedgerError> {
        let query = BlockedQuery {
            subscription: Some(subscription.clone()),
            tenant: Some(tenant.clone()),
            plan: Some(plan.clone()),
            states: Vec::new(),
            limit: 1,
        };
        let BlockedList { mut positions, unreadable } = self.list(&query).await?;
        if let Some(error) = unreadable.into_iter().next() {
            return Err(error);
        }
        let Some(position) = positions.pop() else { return Ok(None) };
        let subscription_no = self.ledger.subscriptions().number(subscription).await?;
        let plan_no = self.ledger.history().plan_no(tenant.as_str(), plan.as_str()).await?;
        let Some((subscription_no, plan_no)) = subscription_no.zip(plan_no) else { return Ok(None) };
        let attempts = self.ledger.positions().attempts(subscription_no, plan_no, position.seq).await?;
        let record = self.ledger.history().range(plan_no, position.seq, position.seq, 1).await?.pop();
        Ok(Some(BlockedDetail { position, attempts, record }))
    }
}

impl Positions<'_> {
    /// Returns the attempts of a subscription at one event, oldest first. They are deleted when their position is pruned.
    pub async fn attempts(self, subscription_no: i64, plan_no: i64, seq: u64) -> Result<Vec<Attempt>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- attempts
            SELECT n, at AS "at: StoredTime", error FROM sealbus.attempts WHERE subscription_no = $1 AND plan_no = $2 AND seq = $3 ORDER BY n"#,
            subscription_no,
            plan_no,
            bound(seq),
        );
        let (n, at) = (Column::new("attempts", "n").of_row(plan_no), Column::new("attempts", "at").of_row(plan_no));
        let attempts = rows
            .fetch_all(self.ledger.background())
            .await?
            .into_iter()
            .map(|row| Ok(Attempt { n: n.read(row.n)?, at: at.time(row.at)?, error: row.error }));
        attempts.collect()
    }
}

/// Records errors at the next event of a position, numbered after those that are recorded already.
pub(super) async fn record_attempts(
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
