//! The moves of a plan's position that no effect makes: deferred, parked, dead letter, fork, live again, moved by an
//! operator's command.
//!
//! Every statement names the position as it was read. If the stored position has changed since, the statement changes
//! nothing and the outcome is [`PlanOutcome::Repeat`].

use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::command::{OperatorAction, OperatorCommand};
use sealbus_ledger::delivery::parking::{Locked, SetAside};
use sealbus_ledger::delivery::positions::{Position, PositionState};
use tracing::{error, info, warn};

use crate::assignment::Assignment;
use crate::plan::order::AfterBatch;
use crate::plan::retries::RetryStep;
use crate::plan::task::{Failure, PlanOutcome};

/// A plan's position, which one task at a time acts on.
pub(crate) struct PlanActor<'a> {
    pub assignment: &'a Assignment,
    pub position: Position,
}

impl PlanActor<'_> {
    /// Ends the task with the position as it is.
    pub(crate) fn settled(self) -> PlanOutcome {
        PlanOutcome::Settled(self.position)
    }

    /// Does what the plan needs after its batch took effect. `seen` is the highest seq that arrived; messages up to it
    /// may be acknowledged afterwards.
    pub(crate) async fn conclude(mut self, then: AfterBatch, seen: u64) -> Result<PlanOutcome, LedgerError> {
        let context = &self.assignment.context;
        match then {
            AfterBatch::Nothing => Ok(self.settled()),
            AfterBatch::MarkSeen => {
                let plan = (self.position.plan_no, seen);
                if context
                    .ledger()
                    .positions()
                    .mark_seen(context.subscription_no, &[plan], Locked::Wait)
                    .await?
                    .is_empty()
                {
                    return Ok(PlanOutcome::Repeat(None));
                }
                self.position.seen_seq = self.position.seen_seq.max(seen);
                Ok(self.settled())
            }
            AfterBatch::Defer => {
                let (positions, plan) = (context.ledger().positions(), (&self.position, seen));
                let (subscription_no, epoch) = (context.subscription_no, &self.assignment.lease_epoch);
                if positions.defer(subscription_no, epoch, &[plan], Locked::Wait).await?.is_empty() {
                    return Ok(PlanOutcome::Repeat(None));
                }
                context.metrics.deferred.inc();
                self.enter(PositionState::Deferred, seen, 0);
                Ok(PlanOutcome::ReplayAgain(self.position))
            }
            AfterBatch::ParkSuspect(event_type) => {
                let attempts = self.position.attempts + 1;
                // If that was the last attempt, replay makes the event a dead letter and copies it.
                let pause = context.policy(&event_type).delay(attempts);
                let reason = "delivered several times without being applied; its handler may have ended the process";
                self.set_aside(PositionState::Parked, seen, attempts, Some(pause), &[reason.to_owned()]).await
            }
            AfterBatch::ParkMissing(reason) => {
                context.metrics.missing.inc();
                error!(%reason, "plan is parked until the ledger has a valid next event");
                // Replay finds the same again and again: the reason is stored the first time only.
                let errors = if self.position.state == PositionState::Parked { vec![] } else { vec![reason] };
                let (attempts, pause) = (self.position.attempts, context.settings().missing_event_pause);
                self.set_aside(PositionState::Parked, seen, attempts, Some(pause), &errors).await
            }
            AfterBatch::StopAtFork(reason) => {
                error!(%reason, "plan is stopped at a fork until an operator settles it");
                let attempts = self.position.attempts;
                self.set_aside(PositionState::Fork, seen, attempts, None, &[reason]).await
            }
        }
    }

    /// Parks the plan at its failed event, or makes the event a dead letter.
    pub(crate) async fn give_up(
        self,
        record: &Record,
        failure: Failure,
        step: RetryStep,
        seen: u64,
    ) -> Result<PlanOutcome, LedgerError> {
        let context = &self.assignment.context;
        let (state, retry_in) = set_aside_by(step);
        let Failure { attempts, errors, .. } = failure;
        let outcome = self.set_aside(state, seen, attempts, retry_in, &errors).await?;
        if state == PositionState::Dead && matches!(outcome, PlanOutcome::Settled(_)) {
            // The position is authoritative: a copy that fails is not repeated.
            let (broker, error) = (&context.process.broker, errors.last().map_or("", String::as_str));
            if let Err(error) = broker.copy_dead_letter(&context.spec.name, record, attempts, error).await {
                let (seq, error) = (record.header.seq, error_chain(&error));
                warn!(seq, error, "dead letter was not copied to the broker");
            }
        }
        Ok(outcome)
    }

    /// Lets a plan follow the stream again once everything that was acknowledged is applied.
    pub(crate) async fn unpark(mut self) -> Result<PlanOutcome, LedgerError> {
        let context = &self.assignment.context;
        if !context.ledger().positions().unpark(context.subscription_no, self.position.plan_no).await? {
            return Ok(PlanOutcome::Repeat(None));
        }
        (self.position.state, self.position.attempts) = (PositionState::Live, 0);
        Ok(self.settled())
    }

    /// Carries out an operator's command if it is still about the position's next event, otherwise clears it.
    pub(crate) async fn carry_out(self, command: &OperatorCommand) -> Result<PlanOutcome, LedgerError> {
        let (context, position) = (&self.assignment.context, &self.position);
        let ledger = context.ledger();
        let target = match command.action {
            _ if command.seq != position.next_seq => None,
            OperatorAction::Redrive if position.state != PositionState::Fork => {
                Some((position.next_seq, position.last_hash))
            }
            OperatorAction::Skip if position.state != PositionState::Fork => {
                ledger.positions().after_skip(position.plan_no, command.seq).await?
            }
            OperatorAction::Settle { event_seq, event_hash } if position.state == PositionState::Fork => {
                let stored = ledger.history().event_hashes(position.plan_no, &[event_seq]).await?.remove(&event_seq);
                // Before the first event there is only the genesis, which the command was checked for.
                let counts = event_seq == 0 || stored == Some(event_hash);
                counts.then_some((event_seq + 1, event_hash))
            }
            OperatorAction::Redrive | OperatorAction::Skip | OperatorAction::Settle { .. } => None,
        };
        let done = match target {
            Some((next_seq, last_hash)) => {
                let epoch = &self.assignment.lease_epoch;
                ledger.positions().resume(context.subscription_no, epoch, position, next_seq, last_hash).await?
            }
            None => ledger.positions().clear_command(context.subscription_no, position).await?,
        };
        if done && target.is_some() {
            info!(?command, "operator command carried out");
        } else {
            warn!(
                ?command,
                "operator command not carried out; the position is not where it was when the command was given"
            );
        }
        // The row is read again, whether it moved or not.
        Ok(PlanOutcome::Repeat(None))
    }

    async fn set_aside(
        mut self,
        state: PositionState,
        seen_seq: u64,
        attempts: u32,
        retry_in: Option<Duration>,
        errors: &[String],
    ) -> Result<PlanOutcome, LedgerError> {
        let (context, epoch) = (&self.assignment.context, &self.assignment.lease_epoch);
        let aside = SetAside { state, seen_seq, attempts, retry_in, errors };
        if !context.ledger().positions().set_aside(context.subscription_no, epoch, &self.position, &aside).await? {
            return Ok(PlanOutcome::Repeat(None));
        }
        match state {
            PositionState::Parked => _ = context.metrics.parked.inc(),
            PositionState::Dead => _ = context.metrics.dead.inc(),
            PositionState::Fork => _ = context.metrics.forks.inc(),
            PositionState::Live | PositionState::Deferred => {}
        }
        let last_error = errors.last().map_or("", String::as_str);
        warn!(seq = self.position.next_seq, %state, last_error, "plan set aside");
        self.enter(state, seen_seq, attempts);
        Ok(self.settled())
    }

    /// Repeats in memory what the ledger did with the row.
    fn enter(&mut self, state: PositionState, seen: u64, attempts: u32) {
        let position = &mut self.position;
        position.seen_seq = position.seen_seq.max(position.next_seq).max(seen);
        (position.state, position.attempts, position.stored) = (state, attempts, true);
    }
}

/// Returns the state that a plan is set aside in, and when replay takes it up.
fn set_aside_by(step: RetryStep) -> (PositionState, Option<Duration>) {
    match step {
        RetryStep::Dead => (PositionState::Dead, None),
        RetryStep::Retry(pause) | RetryStep::Park(pause) => (PositionState::Parked, Some(pause)),
    }
}
