//! What an operator sees of positions that are not live, and what can be asked of them: redrive, skip, settle a fork.
//!
//! An ask is itself an event: it is appended to the tenant's plan `_deliveries`, with a reason, before it is set (PROTOCOL,
//! Consume, rule 10). The plan's actor carries it out while the event in question is still the position's next; otherwise it
//! is cleared. So what an operator did stands in the chain, and an ask that came too late changes nothing.

use sealbus_core::canonical;
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_core::timestamp::Timestamp;
use serde_json::json;

use crate::append::{AppendError, Appender, Call, Draft, Expect};
use crate::delivery::attempts::Attempt;
use crate::delivery::positions::{OperatorCommand, PositionState};
use crate::history::trail::signed;
use crate::own_event::own_event;
use crate::{Ledger, LedgerError};

/// Which positions to list.
#[derive(Clone, Debug, Default)]
pub struct BlockedQuery {
    /// Of one subscription; none for all.
    pub subscription: Option<Subscription>,
    /// Of one tenant; none for all.
    pub tenant: Option<Tenant>,
    /// In these states; empty for all but live.
    pub states: Vec<PositionState>,
    /// At most so many.
    pub limit: u32,
}

/// A position that is not live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedPosition {
    /// The subscription.
    pub subscription: String,
    /// The plan's tenant.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The event that it waits with.
    pub seq: u64,
    /// Type of that event; none where the ledger lacks it.
    pub event_type: Option<String>,
    /// The last event that waits behind it, itself included.
    pub seen_seq: u64,
    /// Parked, behind, dead or fork.
    pub state: PositionState,
    /// Runs of the handler so far.
    pub attempts: u32,
    /// When it is tried again.
    pub next_at: Option<Timestamp>,
    /// What went wrong at first.
    pub first_error: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What was asked and is not carried out yet.
    pub command: Option<OperatorCommand>,
}

/// A position that is not live, with its history and the event it waits with.
#[derive(Clone, Debug)]
pub struct BlockedDetail {
    /// The position.
    pub position: BlockedPosition,
    /// Failed runs of the handler on that event, oldest first.
    pub attempts: Vec<Attempt>,
    /// The event; none where the ledger lacks it.
    pub record: Option<Record>,
}

/// Who asks, about what, and why.
#[derive(Clone, Debug)]
pub struct OperatorRequest {
    /// The subscription.
    pub subscription: Subscription,
    /// The plan's tenant.
    pub tenant: Tenant,
    /// The plan.
    pub plan: Plan,
    /// The person, as the `_deliveries` event names them.
    pub actor: String,
    /// Why, in that person's words.
    pub reason: String,
}

/// What an operator wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorAction {
    /// Try the event again, with all its attempts.
    Redrive,
    /// Pass over the event without its effect.
    Skip,
    /// End a fork by naming the event that stands.
    Settle {
        /// Its `event_hash`.
        stands: Hash,
    },
}

/// Why nothing was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing waits there under that name.
    #[error("subscription {subscription} has no waiting position in {tenant}/{plan}")]
    NotBlocked {
        /// The subscription.
        subscription: String,
        /// The tenant.
        tenant: String,
        /// The plan.
        plan: String,
    },
    /// A fork is settled, anything else redriven or skipped.
    #[error("{tenant}/{plan} is {state}: {hint}")]
    WrongState {
        /// The tenant.
        tenant: String,
        /// The plan.
        plan: String,
        /// The position's state.
        state: PositionState,
        /// What can be done instead.
        hint: &'static str,
    },
    /// The event named as standing is in no such place of the ledger.
    #[error("event {0} is not in the ledger's chain of that plan: only what the ledger holds can stand")]
    NotInLedger(Hash),
    /// The reason is kept for ever, so there must be one.
    #[error("a reason of 1 to 2,000 characters is needed, without U+0000")]
    Reason,
    /// The position moved while it was asked: look again.
    #[error("the position moved while it was asked; look again")]
    Moved,
    /// The `_deliveries` event could not be appended.
    #[error("the ask could not be recorded")]
    Append(#[source] AppendError),
    /// The database.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The positions that are not live, and the operator commands for them. From [`Ledger::dead_letters`].
#[derive(Clone, Copy)]
pub struct DeadLetters<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl DeadLetters<'_> {
    /// Positions that are not live, longest in their place first.
    pub async fn list(self, query: &BlockedQuery) -> Result<Vec<BlockedPosition>, LedgerError> {
        self.owed_rows(query, None).await
    }

    /// One position that is not live, with attempts and event.
    pub async fn find(
        self,
        subscription: &Subscription,
        tenant: &Tenant,
        plan: &Plan,
    ) -> Result<Option<BlockedDetail>, LedgerError> {
        let query = BlockedQuery {
            subscription: Some(subscription.clone()),
            tenant: Some(tenant.clone()),
            states: Vec::new(),
            limit: 1,
        };
        let Some(owed) = self.owed_rows(&query, Some(plan.as_str())).await?.pop() else { return Ok(None) };
        let (Some(subscription_no), Some(plan_no)) = (
            self.ledger.subscriptions().number(subscription).await?,
            self.ledger.history().plan_no(tenant.as_str(), plan.as_str()).await?,
        ) else {
            return Ok(None);
        };
        let attempts = self.ledger.positions().attempts(subscription_no, plan_no, owed.seq).await?;
        let record = self.ledger.history().range(plan_no, owed.seq, owed.seq, 1).await?.pop();
        Ok(Some(BlockedDetail { position: owed, attempts, record }))
    }

    /// Records an operator's wish in `_deliveries`, then sets it as the position's ask. Gives the seq it is about.
    ///
    /// If the ask cannot be set after its event was appended, the answer is an error and asking again is right.
    pub async fn issue(
        self,
        appender: &Appender,
        order: &OperatorRequest,
        verb: OperatorAction,
    ) -> Result<u64, CommandError> {
        if order.reason.is_empty() || order.reason.chars().count() > 2_000 || order.reason.contains('\0') {
            return Err(CommandError::Reason);
        }
        let detail = self.find(&order.subscription, &order.tenant, &order.plan).await?;
        let Some(owed) = detail.map(|detail| detail.position) else {
            return Err(CommandError::NotBlocked {
                subscription: order.subscription.to_string(),
                tenant: order.tenant.to_string(),
                plan: order.plan.to_string(),
            });
        };
        let wrong = |hint| CommandError::WrongState {
            tenant: owed.tenant.clone(),
            plan: owed.plan.clone(),
            state: owed.state,
            hint,
        };
        let (ask, event_type, about) = match (verb, owed.state) {
            (OperatorAction::Redrive | OperatorAction::Skip, PositionState::Fork) => {
                return Err(wrong("end the fork by naming the event that stands"));
            }
            (OperatorAction::Redrive, _) => (OperatorCommand::Redrive { seq: owed.seq }, "delivery.redriven", owed.seq),
            (OperatorAction::Skip, _) => (OperatorCommand::Skip { seq: owed.seq }, "delivery.skipped", owed.seq),
            (OperatorAction::Settle { stands }, PositionState::Fork) => {
                let seq = self.seq_of(order, stands).await?.ok_or(CommandError::NotInLedger(stands))?;
                (OperatorCommand::Settle { seq: owed.seq, stands }, "delivery.fork_settled", seq)
            }
            (OperatorAction::Settle { .. }, _) => return Err(wrong("there is no fork to settle; redrive or skip")),
        };
        let call = Call {
            tenant: order.tenant.clone(),
            plan: Plan::deliveries(),
            expect: Expect::Any,
            events: vec![self.delivery_event(order, event_type, about, &ask)],
        };
        appender.append(call).await.map_err(CommandError::Append)?;
        if self.set_ask(order, &owed, &ask).await? { Ok(about) } else { Err(CommandError::Moved) }
    }

    async fn owed_rows(self, query: &BlockedQuery, plan: Option<&str>) -> Result<Vec<BlockedPosition>, LedgerError> {
        let states: Vec<String> = query.states.iter().map(|state| state.as_str().to_owned()).collect();
        let rows = sqlx::query!(
            r#"-- owed_rows
            SELECT s.name, p.tenant, p.plan, pos.next_seq, e.type AS "event_type?", pos.seen_seq, pos.state, pos.attempts, pos.next_at,
                pos.first_error, pos.last_error, pos.ask
            FROM sealbus.positions pos
            JOIN sealbus.subscriptions s ON s.subscription_no = pos.subscription_no
            JOIN sealbus.plans p ON p.plan_no = pos.plan_no
            LEFT JOIN sealbus.events e ON e.plan_no = pos.plan_no AND e.seq = pos.next_seq
            WHERE pos.state <> 'live' AND ($1::text IS NULL OR s.name = $1) AND ($2::text IS NULL OR p.tenant = $2)
                AND ($3::text IS NULL OR p.plan = $3) AND (cardinality($4::text[]) = 0 OR pos.state = ANY ($4))
            ORDER BY pos.moved_at, s.name, p.tenant, p.plan LIMIT $5"#,
            query.subscription.as_ref().map(Subscription::as_str),
            query.tenant.as_ref().map(Tenant::as_str),
            plan,
            &states,
            i64::from(query.limit),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| BlockedPosition {
                subscription: row.name,
                tenant: row.tenant,
                plan: row.plan,
                seq: row.next_seq.unsigned_abs(),
                event_type: row.event_type,
                seen_seq: row.seen_seq.unsigned_abs(),
                state: PositionState::stored(&row.state),
                attempts: row.attempts.unsigned_abs(),
                next_at: row.next_at.map(Timestamp::from_offset),
                first_error: row.first_error,
                last_error: row.last_error,
                command: row.ask.and_then(|ask| serde_json::from_value(ask).ok()),
            })
            .collect())
    }

    async fn seq_of(self, order: &OperatorRequest, event_hash: Hash) -> Result<Option<u64>, LedgerError> {
        let seq = sqlx::query_scalar!(
            "-- seq_of
            SELECT e.seq FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
            WHERE p.tenant = $1 AND p.plan = $2 AND e.event_hash = $3",
            order.tenant.as_str(),
            order.plan.as_str(),
            event_hash.as_bytes().as_slice(),
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        Ok(seq.map(i64::unsigned_abs))
    }

    async fn set_ask(
        self,
        order: &OperatorRequest,
        owed: &BlockedPosition,
        ask: &OperatorCommand,
    ) -> Result<bool, LedgerError> {
        let set = sqlx::query!(
            "-- set_ask
            UPDATE sealbus.positions pos SET ask = $6, next_at = clock_timestamp()
            FROM sealbus.subscriptions s, sealbus.plans p
            WHERE s.name = $1 AND p.tenant = $2 AND p.plan = $3 AND pos.subscription_no = s.subscription_no AND pos.plan_no = p.plan_no
                AND pos.next_seq = $4 AND pos.state = $5",
            order.subscription.as_str(),
            order.tenant.as_str(),
            order.plan.as_str(),
            signed(owed.seq),
            owed.state.as_str(),
            serde_json::to_value(ask).ok(),
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(set.rows_affected() > 0)
    }

    /// The event that says what was asked.
    fn delivery_event(self, order: &OperatorRequest, event_type: &str, seq: u64, ask: &OperatorCommand) -> Draft {
        let mut data = json!({
            "subscription": order.subscription.as_str(), "plan": order.plan.as_str(), "seq": seq, "reason": order.reason,
        });
        if let OperatorCommand::Settle { stands, .. } = ask {
            data["hash"] = json!(stands.to_string());
        }
        own_event(&self.ledger.deployment().origin, event_type, &order.actor, canonical::write(&data))
    }
}
