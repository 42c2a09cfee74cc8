//! Where handlers run: a batch takes effect and its position moves, as one, again and again until the retry policy
//! gives up.
//!
//! In the ledger both are one transaction, which may hold batches of several plans. With an external effect the effect
//! comes first and the position follows it; the lease is checked before each call.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::{self, Move, Position, PositionState};
use tokio::time::sleep;

use crate::assignment::{Assignment, SubscriptionContext};
use crate::handler::{Delivery, ExternalEffect, Handler, HandlerError, LedgerEffect};
use crate::metrics;
use crate::plan::order::Batch;
use crate::plan::retries::{RetryStep, after_failure};
use crate::plan::task::Failure;

/// The most bytes of an error's text that are stored.
const MAX_ERROR_BYTES: usize = 4_096;

/// The outcome for a plan's events after the handler ran.
pub(crate) enum BatchOutcome {
    /// All of them took effect, and the position is past them.
    Applied,
    /// The position was not where it was read: another process or the sweep has moved it. The position has to be read
    /// and the task repeated.
    Stale,
    /// The assignment is ending. The events before the position took effect; nothing further is started.
    Stopped,
    /// An event failed and is not tried again in memory: its plan is parked, or stops at a dead letter.
    Failed {
        /// The event.
        record: Arc<Record>,
        /// The attempts at the event, and their errors.
        failure: Failure,
        /// [`RetryStep::Park`] or [`RetryStep::Dead`].
        step: RetryStep,
    },
}

/// The outcome of one attempt to apply batches.
pub(crate) enum Attempt {
    /// All events took effect, and the positions moved.
    Applied,
    /// A position was not where it was read, or the lease is lost. No position moved.
    Stale,
    /// A call of the handler failed.
    Failed(FailedCall),
}

/// A failed call of a handler.
pub(crate) struct FailedCall {
    /// The index of the batch that the call belonged to.
    pub batch: usize,
    /// How many events of that batch took effect before the call; the position is past them.
    pub applied: usize,
    /// The index in the batch of the event that failed; `None` if the call held several events, because any of them can
    /// have failed.
    pub failing_event: Option<usize>,
    /// The text of the error.
    pub error: String,
}

/// One call of a handler, with some of the events that the subscription wants.
struct HandlerCall {
    deliveries: Vec<Delivery>,
    /// The index of the batch that the first event belongs to.
    batch: usize,
    /// The index of the first event in that batch.
    first: usize,
}

impl HandlerCall {
    /// Returns the failure of the call, before which `applied` events of its batch took effect.
    fn failed(&self, applied: usize, error: String) -> FailedCall {
        let failing_event = (self.deliveries.len() == 1).then_some(self.first);
        FailedCall { batch: self.batch, applied, failing_event, error }
    }
}

/// Applies a plan's events in order, and moves `position` with the stored position.
///
/// All events are one batch at first. Once a call with several events has failed, they are applied one by one. An event
/// that fails is retried after a pause until [`after_failure`] says that its plan has to be set aside. `failure` is
/// that of one of the events in a transaction of several plans.
pub(crate) async fn apply(
    assignment: &Assignment,
    position: &mut Position,
    records: &[Arc<Record>],
    mut failure: Option<Failure>,
) -> Result<BatchOutcome, LedgerError> {
    let context = &assignment.context;
    // The attempts of a position that is not live are scheduled in the ledger, without pauses in memory.
    let is_live = position.state == PositionState::Live;
    let max_pauses = if is_live { context.settings().retry_pauses } else { Duration::ZERO };
    let (mut rest, mut one_by_one) = (records, false);
    while let Some(first) = rest.first() {
        if let Some(failed) = failure.as_mut().filter(|failed| failed.seq == first.header.seq) {
            let policy = context.policy(&first.header.event_type);
            let step = after_failure(&policy, failed.attempts, failed.paused, max_pauses);
            let RetryStep::Retry(pause) = step else {
                return Ok(BatchOutcome::Failed { record: first.clone(), failure: failed.clone(), step });
            };
            if assignment.ending.run_until_cancelled(sleep(pause)).await.is_none() {
                return Ok(BatchOutcome::Stopped);
            }
            failed.paused += pause;
            context.metrics.retried.inc();
        }
        let size = match &failure {
            _ if one_by_one => 1,
            // The events before the one that failed are applied first, so that its retries hold nothing else up.
            Some(failed) => rest.iter().take_while(|record| record.header.seq < failed.seq).count().max(1),
            None => rest.len(),
        };
        let batch = Batch { from: position, records: &rest[..size] };
        match apply_once(assignment, std::slice::from_ref(&batch)).await? {
            Attempt::Applied => {
                *position = batch.end();
                rest = &rest[size..];
                failure = failure.filter(|failed| failed.seq >= position.next_seq);
            }
            Attempt::Stale => return Ok(BatchOutcome::Stale),
            Attempt::Failed(FailedCall { applied, failing_event, error, .. }) => {
                *position = batch.position_after(applied);
                let failed_seq = failing_event.map(|index| rest[index].header.seq);
                rest = &rest[applied..];
                let Some(seq) = failed_seq else {
                    one_by_one = true;
                    continue;
                };
                failure = Some(match failure {
                    Some(failed) if failed.seq == seq => failed.again(error),
                    // Replay has counted this attempt already.
                    _ if seq == position.next_seq => Failure::of(seq, position.attempts.max(1), error),
                    _ => Failure::of(seq, 1, error),
                });
            }
        }
    }
    Ok(BatchOutcome::Applied)
}

/// Applies batches of different plans once. With an external effect there is exactly one batch.
pub(crate) async fn apply_once(assignment: &Assignment, batches: &[Batch<'_>]) -> Result<Attempt, LedgerError> {
    match (&assignment.context.handler, batches) {
        (Handler::InLedger(effect), _) => apply_in_ledger(assignment, effect.as_ref(), batches).await,
        (Handler::External(effect), [batch]) => apply_externally(assignment, effect.as_ref(), batch).await,
        (Handler::External(_), _) => unreachable!("only effects in the ledger share a transaction"),
    }
}

async fn apply_in_ledger(
    assignment: &Assignment,
    effect: &dyn LedgerEffect,
    batches: &[Batch<'_>],
) -> Result<Attempt, LedgerError> {
    let context = &assignment.context;
    let _permit = context.transactions.acquire().await;
    let mut transaction = context.ledger().effects().begin().await?;
    let moves: Vec<Move> = batches.iter().map(|batch| move_between(batch.from, &batch.end())).collect();
    if !positions::advance(&mut transaction, context.subscription_no, &assignment.lease_epoch, &moves).await? {
        transaction.rollback().await?;
        context.metrics.fenced.inc();
        return Ok(Attempt::Stale);
    }
    let calls = calls(assignment, batches);
    for call in &calls {
        if let Err(error) = call_handler(context, effect.apply(&call.deliveries, &mut transaction)).await {
            transaction.rollback().await?;
            return Ok(Attempt::Failed(call.failed(0, error)));
        }
    }
    // Postgres rolls a failed transaction back at COMMIT and reports no error, so an error that a handler ignored has
    // to be found before.
    if let Err(error) = sqlx::Executor::execute(&mut *transaction, "-- effect_is_sound\nSELECT").await {
        transaction.rollback().await?;
        let error = format!("the handler left the transaction unusable: {error}");
        return Ok(Attempt::Failed(match calls.as_slice() {
            [call] => call.failed(0, error),
            _ => FailedCall { batch: 0, applied: 0, failing_event: None, error },
        }));
    }
    transaction.commit().await?;
    metrics::add(&context.metrics.delivered, calls.iter().map(|call| call.deliveries.len()).sum());
    Ok(Attempt::Applied)
}

async fn apply_externally(
    assignment: &Assignment,
    effect: &dyn ExternalEffect,
    batch: &Batch<'_>,
) -> Result<Attempt, LedgerError> {
    let context = &assignment.context;
    let (mut delivered, mut failed) = (0, None);
    for call in calls(assignment, std::slice::from_ref(batch)) {
        if !assignment.lease.still_held() {
            return Ok(Attempt::Stale);
        }
        if let Err(error) = call_handler(context, effect.apply(&call.deliveries)).await {
            failed = Some(call.failed(call.first, error));
            break;
        }
        delivered += call.deliveries.len();
    }
    let applied = failed.as_ref().map_or(batch.records.len(), |failed| failed.applied);
    if applied > 0 && !follow(assignment, batch.from, &batch.position_after(applied)).await? {
        context.metrics.fenced.inc();
        return Ok(Attempt::Stale);
    }
    metrics::add(&context.metrics.delivered, delivered);
    Ok(failed.map_or(Attempt::Applied, Attempt::Failed))
}

/// Moves the position after an external effect, and returns whether it moved.
///
/// If the plan was meanwhile deferred at the same place, the position moves from there: the effect has happened and
/// need not be repeated.
async fn follow(assignment: &Assignment, from: &Position, to: &Position) -> Result<bool, LedgerError> {
    let (context, ledger) = (&assignment.context, assignment.context.ledger());
    let mut from = from.clone();
    for _ in 0..2 {
        let mut connection = ledger.effects().acquire().await?;
        let moves = [move_between(&from, to)];
        if positions::advance(&mut connection, context.subscription_no, &assignment.lease_epoch, &moves).await? {
            return Ok(true);
        }
        drop(connection);
        let stored = ledger.positions().read(context.subscription_no, &[from.plan_no]).await?.remove(&from.plan_no);
        let deferred_here = (from.next_seq, from.last_hash, PositionState::Deferred);
        match stored {
            Some(now) if (now.next_seq, now.last_hash, now.state) == deferred_here => from = now,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

fn move_between<'a>(from: &'a Position, to: &Position) -> Move<'a> {
    Move { from, next_seq: to.next_seq, last_hash: to.last_hash }
}

/// Divides the wanted events of some batches, in order, into calls of at most as many events as the handler takes.
fn calls(assignment: &Assignment, batches: &[Batch<'_>]) -> Vec<HandlerCall> {
    let context = &assignment.context;
    let max_events = context.handler.max_batch();
    let mut calls: Vec<HandlerCall> = Vec::new();
    for (batch, Batch { records, .. }) in batches.iter().enumerate() {
        for (first, record) in records.iter().enumerate().filter(|(_, record)| context.spec.wants(record)) {
            let (subscription, epoch) = (context.name.clone(), assignment.lease_epoch.epoch);
            let delivery = Delivery { record: record.clone(), subscription, epoch };
            match calls.last_mut() {
                Some(call) if call.deliveries.len() < max_events => call.deliveries.push(delivery),
                _ => calls.push(HandlerCall { deliveries: vec![delivery], batch, first }),
            }
        }
    }
    calls
}

/// Runs one call of the handler. A call that exceeds the timeout and a panic are failures. The error is text to store.
async fn call_handler(
    context: &SubscriptionContext,
    apply: impl Future<Output = Result<(), HandlerError>>,
) -> Result<(), String> {
    let limit = context.settings().handler_timeout;
    let started = Instant::now();
    let outcome = tokio::time::timeout(limit, AssertUnwindSafe(apply).catch_unwind()).await;
    context.metrics.observe_handler(started.elapsed());
    let error = match outcome {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(panic)) => format!("the handler panicked: {}", panic_text(panic.as_ref())),
        Err(_) => format!("the handler took longer than {limit:?}"),
    };
    context.metrics.failed.inc();
    // A Postgres text column rejects NUL.
    Err(error[..error.floor_char_boundary(MAX_ERROR_BYTES)].replace('\0', "\u{fffd}"))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the panic has no text")
}
