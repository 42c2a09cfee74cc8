//! The processing of one plan's task: events that arrived, or one round of replay.
//!
//! The position is the one that the worker remembers, otherwise it is read. Whenever the ledger finds that the stored
//! position is another one, the task is repeated with the position that is stored now.

use std::sync::Arc;

use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::parking::Locked;
use sealbus_ledger::delivery::positions::PositionState;
use tracing::{Instrument, error};

use crate::assignment::Assignment;
use crate::assignment::interrupted::Counted;
use crate::plan::actor::PlanActor;
use crate::plan::effect::{BatchOutcome, apply};
use crate::plan::gather::{events_from_ledger, gather};
use crate::plan::order::AfterBatch;
use crate::plan::retries::RetryStep;
use crate::plan::task::{Arrival, Failure, PlanOutcome, PlanTask, Work};
use crate::plan_name::PlanName;

/// How often in a row a position may be found stale before the worker gets the plan back.
const MAX_STALE_POSITIONS: usize = 8;

/// Processes a task. An error means that the ledger cannot be used now; no message may be acknowledged because of the
/// task.
pub(crate) async fn process(assignment: &Assignment, task: &PlanTask) -> Result<PlanOutcome, LedgerError> {
    let span = assignment.plan_span(&task.plan);
    async {
        let context = &assignment.context;
        let mut known = task.position.clone();
        for _ in 0..MAX_STALE_POSITIONS {
            if let Work::Replay = task.work {
                let (subscription_no, PlanName { tenant, plan }) = (context.subscription_no, &task.plan);
                let is_own =
                    |at: &Counted| (at.subscription_no, &at.tenant, &at.plan) == (subscription_no, tenant, plan);
                context.process.interrupted.take_back(context.ledger().positions(), is_own).await?;
            }
            let position = match known.take() {
                Some(position) => position,
                None => match context.position(&task.plan).await {
                    Ok(Some(position)) => position,
                    Ok(None) => return Ok(PlanOutcome::Unknown),
                    Err(error @ LedgerError::Corrupt { .. }) => return note_unreadable(assignment, task, error).await,
                    Err(error) => return Err(error),
                },
            };
            let actor = PlanActor { assignment, position };
            let outcome = match &task.work {
                Work::Arrived { arrivals, over_limit, failure } => {
                    let seen = task.work.highest_seq();
                    receive(actor, arrivals, seen, *over_limit, failure.clone()).await?
                }
                Work::Replay => replay(actor, &task.plan).await?,
            };
            if !matches!(outcome, PlanOutcome::Repeat(_)) {
                return Ok(outcome);
            }
            if !assignment.lease.still_held() {
                break;
            }
        }
        Ok(match (context.position(&task.plan).await?, &task.work) {
            (None, _) => PlanOutcome::Unknown,
            (Some(position), Work::Arrived { .. }) => PlanOutcome::Settled(position),
            (Some(position), Work::Replay) => PlanOutcome::ReplayAgain(position),
        })
    }
    .instrument(span)
    .await
}

/// Notes the events that arrived for a plan whose stored position cannot be read, so that they do not hold up others.
///
/// A newer release may have written the position. It counts as not live if its state is another one than live.
async fn note_unreadable(
    assignment: &Assignment,
    task: &PlanTask,
    error: LedgerError,
) -> Result<PlanOutcome, LedgerError> {
    let Work::Arrived { .. } = task.work else { return Err(error) };
    error!(error = %error_chain(&error), "position cannot be read; the plan is not delivered");
    let (context, seq) = (&assignment.context, task.work.highest_seq());
    let ledger = context.ledger();
    let Some(plan_no) = ledger.history().plan_no(&task.plan.tenant, &task.plan.plan).await? else {
        return Ok(PlanOutcome::Unknown);
    };
    let noted = ledger.positions().mark_seen(context.subscription_no, &[(plan_no, seq)], Locked::Wait).await?;
    Ok(if noted.is_empty() { PlanOutcome::Unknown } else { PlanOutcome::Noted(seq) })
}

/// Applies what can be applied of the events that arrived.
async fn receive(
    mut actor: PlanActor<'_>,
    arrivals: &[Arrival],
    seen: u64,
    over_limit: bool,
    failure: Option<Failure>,
) -> Result<PlanOutcome, LedgerError> {
    let gathered = gather(actor.assignment, &actor.position, arrivals, over_limit).await?;
    match apply(actor.assignment, &mut actor.position, &gathered.records, failure).await? {
        BatchOutcome::Applied => actor.conclude(gathered.then, seen).await,
        BatchOutcome::Stale => Ok(PlanOutcome::Repeat(None)),
        BatchOutcome::Stopped => Ok(actor.settled()),
        BatchOutcome::Failed { record, failure, step } => actor.give_up(&record, failure, step, seen).await,
    }
}

/// Does one round of replay: an operator's command if there is one, otherwise up to
/// [`MAX_GAP`](crate::plan::order::MAX_GAP) of the plan's events from the ledger. Once none is left, the plan is live
/// again.
///
/// One round is short, so that many plans are replayed side by side.
async fn replay(mut actor: PlanActor<'_>, plan: &PlanName) -> Result<PlanOutcome, LedgerError> {
    if let Some(command) = actor.position.command.clone() {
        return actor.carry_out(&command).await;
    }
    match actor.position.state {
        PositionState::Deferred | PositionState::Parked => {}
        PositionState::Live | PositionState::Dead | PositionState::Fork => return Ok(actor.settled()),
    }
    if actor.position.next_seq > actor.position.seen_seq {
        return actor.unpark().await;
    }
    let (context, next_seq) = (&actor.assignment.context, actor.position.next_seq);
    let read = events_from_ledger(actor.assignment, &actor.position, u64::MAX).await?;
    let Some(first) = read.records.first() else {
        let then = match read.then {
            AfterBatch::Nothing => AfterBatch::ParkMissing(format!("the ledger lacks event {next_seq}")),
            fault => fault,
        };
        return actor.conclude(then, 0).await;
    };

    let policy = context.policy(&first.header.event_type);
    if context.spec.wants(first) && policy.spent(actor.position.attempts) {
        let error = "every attempt was started and the last one did not end; its handler may have ended the process";
        let failure = Failure::of(next_seq, actor.position.attempts, error.to_owned());
        return actor.give_up(first, failure, RetryStep::Dead, 0).await;
    }
    let (subscription_no, plan_no) = (context.subscription_no, actor.position.plan_no);
    let PlanName { tenant, plan } = plan.clone();
    let counted = Counted { subscription_no, tenant, plan, plan_no, seq: next_seq };
    let open = context.process.interrupted.begin(counted);
    let applied = attempt(&mut actor, &policy, &read.records).await?;
    match applied {
        // No handler has succeeded or failed.
        BatchOutcome::Stale => return Ok(PlanOutcome::Repeat(None)),
        BatchOutcome::Stopped => return Ok(actor.settled()),
        BatchOutcome::Failed { record, failure, step } => {
            let outcome = actor.give_up(&record, failure, step, 0).await?;
            // A failure that could not be recorded does not count: nobody would learn why the event became a dead letter.
            open.end();
            return Ok(outcome);
        }
        BatchOutcome::Applied => open.end(),
    }
    if actor.position.next_seq > actor.position.seen_seq {
        return actor.unpark().await;
    }
    Ok(PlanOutcome::ReplayAgain(actor.position))
}

/// Counts an attempt at the plan's next event, and then applies the events. The attempt is counted before anything runs, so that an
/// event that ends the process uses up its attempts too. It may also be counted if this returns an error.
async fn attempt(
    actor: &mut PlanActor<'_>,
    policy: &RetryPolicy,
    records: &[Arc<Record>],
) -> Result<BatchOutcome, LedgerError> {
    let context = &actor.assignment.context;
    let attempts = actor.position.attempts + 1;
    // The next owner of the lease takes it for granted that the last attempt has ended when the position is due again. In a process
    // that has lost the lease it may last as long as it waits for a lock, and then as long as a call.
    let retry_in = if policy.spent(attempts) { 2 * context.settings().handler_timeout } else { policy.delay(attempts) };
    let positions = context.ledger().positions();
    if !positions.begin_attempt(context.subscription_no, &actor.position, retry_in).await? {
        return Ok(BatchOutcome::Stale);
    }
    if attempts > 1 {
        context.metrics.retried.inc();
    }
    actor.position.attempts = attempts;
    apply(actor.assignment, &mut actor.position, records, None).await
}
