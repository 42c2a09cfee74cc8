//! Operator commands: redrive and skip for an event that failed, settle for a fork (`docs/spec/protocol.md#consume-10`).
//!
//! A command is first appended as an event, with its reason, to the tenant's plan `_deliveries`, and then stored in the
//! position. The plan actor carries it out if the event in question is still the position's next event; otherwise it clears
//! the command. So the chain records what an operator did, and a command that comes too late changes nothing.

use sealbus_core::canonical;
use sealbus_core::event::Header;
use sealbus_core::hash::Hash;
use sealbus_core::names::{Plan, Subscription, Tenant};
use serde_json::json;

use crate::LedgerError;
use crate::append::{AppendError, Appender, Call, Expect};
use crate::delivery::command::{OperatorAction, OperatorCommand};
use crate::delivery::dead_letters::{BlockedDetail, BlockedPosition, DeadLetters};
use crate::delivery::positions::{LeaseEpoch, NEXT_SEQ, Position, PositionState, Positions};
use crate::own_event::{is_reason, own_event};
use crate::pg::{Column, bound};

/// The position that a command is for, who gives the command, and why.
#[derive(Clone, Debug)]
pub struct OperatorRequest {
    /// The subscription.
    pub subscription: Subscription,
    /// The tenant of the plan.
    pub tenant: Tenant,
    /// The plan.
    pub plan: Plan,
    /// The name of the operator, for the event. It is self-declared.
    pub actor: String,
    /// The reason, for the event: 1 to 2,000 characters without U+0000.
    pub reason: String,
}

/// Reasons why a command was not given.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such position, or it is live.
    #[error("subscription {0} has no waiting position in {1}/{2}")]
    NotBlocked(Subscription, Tenant, Plan),
    /// A fork can only be settled, and any other position can only be redriven or skipped.
    #[error("{tenant}/{plan} is {state}: {hint}")]
    WrongState {
        /// The tenant of the plan.
        tenant: Tenant,
        /// The plan.
        plan: Plan,
        /// The state of the position.
        state: PositionState,
        /// What the operator can do instead.
        hint: &'static str,
    },
    /// The event that is to count is not in the plan's chain.
    #[error(
        "event {0} with hash {1} is not in the ledger's chain of the plan; only an event of the ledger can be named"
    )]
    NotInLedger(u64, Hash),
    /// The ledger has neither the event that is to be skipped, nor one after it.
    #[error(
        "the ledger lacks event {0} and has none after it; redrive the plan, which then no longer waits for the event"
    )]
    NothingToSkip(u64),
    /// The reason is empty, too long, or contains U+0000.
    #[error("the reason must have 1 to 2,000 characters, without U+0000")]
    Reason,
    /// The position moved after the event was appended. The command can be given again.
    #[error("the position moved while the command was given; look at it again")]
    Moved,
    /// The event of the command could not be appended.
    #[error("the command could not be recorded")]
    Append(#[source] AppendError),
    /// The database failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl DeadLetters<'_> {
    /// Gives a command: appends its event to plan `_deliveries`, then stores it in the position, which is due at once. Returns
    /// the seq that the event names.
    ///
    /// If the command cannot be stored after its event was appended, this is an error, and the command can be given again.
    pub async fn issue(
        self,
        appender: &Appender,
        request: &OperatorRequest,
        action: OperatorAction,
    ) -> Result<u64, CommandError> {
        if !is_reason(&request.reason) {
            return Err(CommandError::Reason);
        }
        let OperatorRequest { subscription, tenant, plan, .. } = request.clone();
        let origin = &self.ledger.deployment().origin;
        let Some(BlockedDetail { position, .. }) = self.find(&subscription, &tenant, &plan).await? else {
            return Err(CommandError::NotBlocked(subscription, tenant, plan));
        };
        let wrong_state = |hint| {
            let (tenant, plan) = (tenant.clone(), plan.clone());
            Err(CommandError::WrongState { tenant, plan, state: position.state, hint })
        };
        let seq = position.seq;
        let (event_type, named_seq) = match (action, position.state) {
            (OperatorAction::Redrive | OperatorAction::Skip, PositionState::Fork) => {
                return wrong_state("settle the fork by naming the event that counts");
            }
            (OperatorAction::Redrive, _) => ("delivery.redriven", seq),
            (OperatorAction::Skip, _) => {
                let history = self.ledger.history();
                let plan_no = history.plan_no(tenant.as_str(), plan.as_str()).await?;
                let plan_no = plan_no.ok_or(CommandError::NothingToSkip(seq))?;
                let target = self.ledger.positions().after_skip(plan_no, seq).await?;
                target.ok_or(CommandError::NothingToSkip(seq))?;
                ("delivery.skipped", seq)
            }
            (OperatorAction::Settle { event_seq, event_hash }, PositionState::Fork) => {
                if self.hash_at(request, event_seq).await? != Some(event_hash) {
                    return Err(CommandError::NotInLedger(event_seq, event_hash));
                }
                ("delivery.fork_settled", event_seq)
            }
            (OperatorAction::Settle { .. }, _) => {
                return wrong_state("there is no fork to settle; redrive or skip the event");
            }
        };
        let mut data =
            json!({ "subscription": subscription, "plan": plan, "seq": named_seq, "reason": request.reason });
        if let OperatorAction::Settle { event_hash, .. } = action {
            data["hash"] = json!(event_hash);
        }
        let events = vec![own_event(origin, event_type, &request.actor, canonical::write(&data))];
        let call = Call { tenant, plan: Plan::deliveries(), expect: Expect::Any, events };
        appender.append(call).await.map_err(CommandError::Append)?;
        let command = OperatorCommand { seq, action };
        if self.set_command(request, &position, &command).await? { Ok(named_seq) } else { Err(CommandError::Moved) }
    }

    /// Returns the hash of the ledger's event with this seq, or the genesis of the plan for seq 0.
    pub async fn hash_at(self, request: &OperatorRequest, seq: u64) -> Result<Option<Hash>, LedgerError> {
        let (tenant, plan) = (request.tenant.as_str(), request.plan.as_str());
        if seq == 0 {
            return Ok(Some(Header::genesis(&self.ledger.deployment().origin, tenant, plan)));
        }
        let history = self.ledger.history();
        let Some(plan_no) = history.plan_no(tenant, plan).await? else { return Ok(None) };
        Ok(history.event_hashes(plan_no, &[seq]).await?.remove(&seq))
    }

    async fn set_command(
        self,
        request: &OperatorRequest,
        position: &BlockedPosition,
        command: &OperatorCommand,
    ) -> Result<bool, LedgerError> {
        let set = sqlx::query!(
            "-- set_command
            UPDATE sealbus.positions pos SET ask = $6, next_at = clock_timestamp()
            FROM sealbus.subscriptions s, sealbus.plans p
            WHERE s.name = $1 AND p.tenant = $2 AND p.plan = $3 AND pos.subscription_no = s.subscription_no AND pos.plan_no = p.plan_no
                AND pos.next_seq = $4 AND pos.state = $5",
            request.subscription.as_str(),
            request.tenant.as_str(),
            request.plan.as_str(),
            NEXT_SEQ.bigint(position.seq)?,
            position.state.as_str(),
            command.to_json(),
        );
        Ok(set.execute(self.ledger.background()).await?.rows_affected() > 0)
    }
}

impl Positions<'_> {
    /// Returns where a position is after event `seq` was skipped: the seq to apply next, and the hash of the event before it.
    ///
    /// An event that the ledger lacks or damaged is passed over together with all that the ledger lacks directly after it: the
    /// next event that it has says what its predecessor was. Returns `None` if there is no such event.
    pub async fn after_skip(self, plan_no: i64, seq: u64) -> Result<Option<(u64, Hash)>, LedgerError> {
        let rows = sqlx::query!(
            "-- after_skip
            SELECT seq, event_hash, prev FROM sealbus.events WHERE plan_no = $1 AND seq >= $2 ORDER BY seq LIMIT 2",
            plan_no,
            bound(seq),
        );
        let (mut skipped, mut next) = (None, None);
        for row in rows.fetch_all(self.ledger.background()).await? {
            let stored: u64 = Column::new("events", "seq").of_row(plan_no).read(row.seq)?;
            if stored == seq {
                skipped = Hash::from_slice(&row.event_hash).map(|hash| (seq + 1, hash));
            } else if next.is_none() {
                next = Hash::from_slice(&row.prev).map(|prev| (stored, prev));
            }
        }
        Ok(next.filter(|(stored, _)| *stored == seq + 1).or(skipped).or(next))
    }

    /// Carries out an operator command: the position becomes parked at `next_seq` after `last_hash`, without attempts and due
    /// at once. Returns whether it did; the position must still be as it was read, including the command.
    ///
    /// Events that were acknowledged and that the ledger no longer has are not waited for any more.
    pub async fn resume(
        self,
        subscription_no: i64,
        lease: &LeaseEpoch,
        from: &Position,
        next_seq: u64,
        last_hash: Hash,
    ) -> Result<bool, LedgerError> {
        let operation = async {
            let mut transaction = self.ledger.background().begin().await?;
            let locked = sqlx::query!(
                "-- lock_commanded
                SELECT plan_no FROM sealbus.positions
                WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state = $4 AND ask = $5 FOR UPDATE",
                subscription_no,
                from.plan_no,
                NEXT_SEQ.bigint(from.next_seq)?,
                from.state.as_str(),
                from.command.as_ref().map(OperatorCommand::to_json),
            );
            if locked.fetch_optional(&mut *transaction).await?.is_none() {
                transaction.rollback().await?;
                return Ok(false);
            }
            // The head is read by a statement that begins after the row was locked, so that it is at or above every event that was
            // noted in the row.
            sqlx::query!(
                "-- resume
                UPDATE sealbus.positions
                SET next_seq = $3, last_hash = $4, state = 'parked', attempts = 0, next_at = clock_timestamp(), ask = NULL,
                    seen_seq = least(seen_seq, (SELECT coalesce(max(e.seq), 0) FROM sealbus.events e WHERE e.plan_no = $2)),
                    first_error = NULL, last_error = NULL, epoch = $5, moved_at = clock_timestamp()
                WHERE subscription_no = $1 AND plan_no = $2",
                subscription_no,
                from.plan_no,
                NEXT_SEQ.bigint(next_seq)?,
                last_hash.as_bytes().as_slice(),
                lease.epoch,
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(true)
        };
        self.ledger.background().within(operation).await
    }

    /// Clears a command that cannot be carried out, for example because it is for another event than the position's next one.
    /// Returns whether it did; the position must still be as it was read, including the command.
    pub async fn clear_command(self, subscription_no: i64, from: &Position) -> Result<bool, LedgerError> {
        let cleared = sqlx::query!(
            "-- clear_command
            UPDATE sealbus.positions SET ask = NULL, next_at = CASE WHEN state IN ('parked', 'behind') THEN next_at END
            WHERE subscription_no = $1 AND plan_no = $2 AND next_seq = $3 AND state = $4 AND ask = $5",
            subscription_no,
            from.plan_no,
            NEXT_SEQ.bigint(from.next_seq)?,
            from.state.as_str(),
            from.command.as_ref().map(OperatorCommand::to_json),
        );
        Ok(cleared.execute(self.ledger.background()).await?.rows_affected() > 0)
    }
}
