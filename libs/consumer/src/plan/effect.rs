//! Where handlers run: a batch takes effect and its position moves, as one, again and again until the retry policy
//! gives up.
//!
//! In the ledger both are one transaction, which may hold batches of several plans. With an external effect the effect
//! comes first and the position follows it; the lease is checked before each call.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::{self, Move, Position, PositionState};

use crate::assignment::{Assignment, SubscriptionContext};
use crate::handler::{Delivery, ExternalEffect, Handler, HandlerError, LedgerEffect};
use crate::metrics;
use crate::plan::batch::{Batch, HandlerCall, calls};
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

/// Reasons why batches did not take effect as a whole.
pub(crate) enum EffectError {
    /// A position was not where it was read, or the lease is lost. No position moved.
    Stale,
    /// A call of the handler failed.
    Handler(FailedCall),
    /// The ledger could not be used. Nothing is known about the effect.
    Ledger(LedgerError),
}

/// A failed call of a handler.
pub(crate) struct FailedCall {
    /// The index of the batch that the call belonged to.
    pub batch: usize,
    /// How many events of that batch took effect before the call; the position is past them.
    pub applied: usize,
    /// The index in the batch of the event that failed; `None` if the call held several events.
    pub failing_event: Option<usize>,
    /// The text of the error.
    pub error: String,
}

impl From<LedgerError> for EffectError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<sqlx::Error> for EffectError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// What is left for retries in memory when a batch begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetryBudget {
    /// The longest that the pauses before retries of one event may take in all.
    pub pauses: Duration,
    /// Earlier calls of the handler on the first event that count as attempts.
    pub earlier_attempts: u32,
    /// The failure of one of the events in a transaction of several plans.
    pub failure: Option<Failure>,
}

/// Applies a plan's events in order, and moves `position` with the stored position.
///
/// All events are one batch at first. Once a call with several events has failed, they are applied one by one. An event
/// that fails is retried after a pause until [`after_failure`] says that its plan has to be set aside.
pub(crate) async fn apply(
    assignment: &Assignment,
    position: &mut Position,
    records: &[Arc<Record>],
    budget: RetryBudget,
) -> Result<BatchOutcome, LedgerError> {
    let context = &assignment.context;
    let first_seq = position.next_seq;
    let (mut rest, mut failure, mut one_by_one) = (records, budget.failure, false);
    while let Some(first) = rest.first() {
        if let Some(failed) = failure.as_mut().filter(|failed| failed.seq == first.header.seq) {
            let policy = context.policy(&first.header.event_type);
            let step = after_failure(&policy, failed.attempts, failed.paused, budget.pauses);
            let RetryStep::Retry(pause) = step else {
                return Ok(BatchOutcome::Failed { record: first.clone(), failure: failed.clone(), step });
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = assignment.ending.cancelled() => return Ok(BatchOutcome::Stopped),
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
        match apply_once(assignment, std::slice::from_ref(&batch)).await {
            Ok(()) => {
                *position = batch.end();
                rest = &rest[size..];
                failure = failure.filter(|failed| failed.seq >= position.next_seq);
            }
            Err(EffectError::Ledger(error)) => return Err(error),
            Err(EffectError::Stale) => return Ok(BatchOutcome::Stale),
            Err(EffectError::Handler(FailedCall { applied, failing_event, error, .. })) => {
                *position = batch.position_after(applied);
                let failed_seq = failing_event.map(|index| rest[index].header.seq);
                rest = &rest[applied..];
                let Some(seq) = failed_seq else {
                    one_by_one = true;
                    continue;
                };
                failure = Some(match failure.take() {
                    Some(failed) if failed.seq == seq => failed.again(error),
                    _ => {
                        let mut failed = Failure::first(seq, error);
                        failed.attempts += if seq == first_seq { budget.earlier_attempts } else { 0 };
                        failed
                    }
                });
            }
        }
    }
    Ok(BatchOutcome::Applied)
}

/// Applies batches of different plans once. With an external effect there is exactly one batch.
pub(crate) async fn apply_once(assignment: &Assignment, batches: &[Batch<'_>]) -> Result<(), EffectError> {
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
) -> Result<(), EffectError> {
    let context = &assignment.context;
    let _permit = context.transactions.acquire().await;
    let mut transaction = context.ledger().effects_pool().begin().await?;
    let moves: Vec<Move> = batches
        .iter()
        .map(|batch| {
            let end = batch.end();
            Move { from: batch.from, next_seq: end.next_seq, last_hash: end.last_hash }
        })
        .collect();
    if !positions::advance(&mut transaction, context.subscription_no, &assignment.lease_epoch, &moves).await? {
        transaction.rollback().await?;
        context.metrics.fenced.inc();
        return Err(EffectError::Stale);
    }
    let calls = handler_calls(assignment, batches);
    for call in &calls {
        if let Err(error) = call_handler(context, effect.apply(&call.deliveries, &mut transaction)).await {
            transaction.rollback().await?;
            let (batch, failing_event) = (call.batch, call.failing_event());
            return Err(EffectError::Handler(FailedCall { batch, applied: 0, failing_event, error }));
        }
    }
    // Postgres rolls a failed transaction back at COMMIT and reports no error, so an error that a handler ignored has
    // to be found before.
    if let Err(error) = sqlx::Executor::execute(&mut *transaction, "-- effect_is_sound\nSELECT").await {
        transaction.rollback().await?;
        let (batch, failing_event) = match calls.as_slice() {
            [call] => (call.batch, call.failing_event()),
            _ => (0, None),
        };
        let error = format!("the handler left the transaction unusable: {error}");
        return Err(EffectError::Handler(FailedCall { batch, applied: 0, failing_event, error }));
    }
    transaction.commit().await?;
    metrics::add(&context.metrics.delivered, calls.iter().map(|call| call.deliveries.len()).sum());
    Ok(())
}

async fn apply_externally(
    assignment: &Assignment,
    effect: &dyn ExternalEffect,
    batch: &Batch<'_>,
) -> Result<(), EffectError> {
    let context = &assignment.context;
    let (mut delivered, mut failed) = (0, None);
    for call in handler_calls(assignment, std::slice::from_ref(batch)) {
        if !assignment.lease.still_held() {
            return Err(EffectError::Stale);
        }
        if let Err(error) = call_handler(context, effect.apply(&call.deliveries)).await {
            let failing_event = call.failing_event();
            failed = Some(FailedCall { batch: 0, applied: call.first, failing_event, error });
            break;
        }
        delivered += call.deliveries.len();
    }
    let applied = failed.as_ref().map_or(batch.records.len(), |failed| failed.applied);
    if applied > 0 && !follow(assignment, &batch.position_after(applied), batch.from).await? {
        context.metrics.fenced.inc();
        return Err(EffectError::Stale);
    }
    metrics::add(&context.metrics.delivered, delivered);
    failed.map_or(Ok(()), |failed| Err(EffectError::Handler(failed)))
}

/// Moves the position after an external effect, and returns whether it moved.
///
/// If the plan was meanwhile deferred at the same place, the position moves from there: the effect has happened and
/// need not be repeated.
async fn follow(assignment: &Assignment, to: &Position, from: &Position) -> Result<bool, LedgerError> {
    let context = &assignment.context;
    let mut from = from.clone();
    for _ in 0..2 {
        let mut connection = context.ledger().effects_pool().acquire().await?;
        let step = Move { from: &from, next_seq: to.next_seq, last_hash: to.last_hash };
        if positions::advance(&mut connection, context.subscription_no, &assignment.lease_epoch, &[step]).await? {
            return Ok(true);
        }
        drop(connection);
        let read =
            context.ledger().positions().read(context.subscription_no, &[from.plan_no]).await?.remove(&from.plan_no);
        match read {
            Some(now)
                if (now.next_seq, now.last_hash, now.state)
                    == (from.next_seq, from.last_hash, PositionState::Deferred) =>
            {
                from = now;
            }
            _ => return Ok(false),
        }
    }
    Ok(false)
}

fn handler_calls(assignment: &Assignment, batches: &[Batch<'_>]) -> Vec<HandlerCall> {
    let context = &assignment.context;
    calls(batches, &context.spec, context.handler.max_batch(), |record| Delivery {
        record: record.clone(),
        subscription: context.name.clone(),
        epoch: assignment.lease_epoch.epoch,
    })
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
    Err(storable(&error))
}

/// Truncates an error for storage, and replaces NUL, which a Postgres text column rejects.
fn storable(error: &str) -> String {
    error[..error.floor_char_boundary(MAX_ERROR_BYTES)].replace('\0', "\u{fffd}")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the panic has no text")
}
