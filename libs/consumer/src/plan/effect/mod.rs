//! Where handlers run: a batch takes effect and its position moves, as one, again and again until the retry policy
//! gives up.
//!
//! In the ledger ([`in_ledger`]) both are one transaction, which may hold batches of several plans. With an external effect
//! ([`external`]) the effect comes first and the position follows it.

mod calls;
mod external;
mod in_ledger;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealbus_core::event::Record;
use sealbus_core::retry::RetryPolicy;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::effects::EffectLimits;
use sealbus_ledger::delivery::positions::{self, Move, Position, PositionState};
use sqlx::PgConnection;
use tokio::time::sleep;

use self::external::apply_externally;
use self::in_ledger::apply_in_ledger;
use crate::assignment::Assignment;
use crate::handler::Handler;
use crate::plan::order::Batch;
use crate::plan::retries::{RetryStep, after_failure};
use crate::plan::task::Failure;

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
    /// Whether the attempt goes on with another call, because this one lost a lock or found no connection. An effect in the
    /// ledger waits for a lock in one call instead.
    pub is_repeatable: bool,
}

/// An attempt whose calls lose against other transactions of the target.
struct Contention {
    /// The event.
    seq: u64,
    /// When the first call began.
    since: Instant,
    /// Calls so far.
    calls: u32,
}

impl Contention {
    /// Returns the pause before the next call, which doubles from 100 ms up to 5 s.
    fn pause(&self) -> Duration {
        RetryPolicy::default().delay(self.calls)
    }
}

/// Applies a plan's events in order, and moves `position` with the stored position.
///
/// All events are one batch at first. Once a call with several events has failed, they are applied one by one. An event
/// that fails is retried after a pause until [`after_failure`] says that its plan has to be set aside. Calls that lose
/// against other transactions are one attempt for as long as a statement in the ledger may wait for a lock. `failure` is that
/// of one of the events in a transaction of several plans.
pub(crate) async fn apply(
    assignment: &Assignment,
    position: &mut Position,
    records: &[Arc<Record>],
    mut failure: Option<Failure>,
) -> Result<BatchOutcome, LedgerError> {
    let context = &assignment.context;
    // The attempts of a position that is not live are scheduled in the ledger, without pauses in memory.
    let is_live = position.state == PositionState::Live;
    let max_held = if is_live { context.settings().retry_budget } else { Duration::ZERO };
    let max_contention = EffectLimits::of_call(context.settings().handler_timeout).lock_timeout;
    let (mut rest, mut one_by_one, mut contention) = (records, false, None::<Contention>);
    while let Some(first) = rest.first() {
        let goes_on = contention.is_some();
        if let Some(failed) = failure.as_mut().filter(|failed| !goes_on && failed.seq == first.header.seq) {
            let policy = context.policy(&first.header.event_type);
            let step = after_failure(&policy, failed.attempts, failed.held, max_held);
            let RetryStep::Retry(pause) = step else {
                return Ok(BatchOutcome::Failed { record: first.clone(), failure: failed.clone(), step });
            };
            if assignment.ending.run_until_cancelled(sleep(pause)).await.is_none() {
                return Ok(BatchOutcome::Stopped);
            }
            failed.held += pause;
            context.metrics.retried.inc();
        }
        let started = Instant::now();
        let size = match &failure {
            _ if one_by_one => 1,
            // The events before the one that failed are applied first, so that its retries hold nothing else up.
            Some(failed) => rest.iter().take_while(|record| record.header.seq < failed.seq).count().max(1),
            None => rest.len(),
        };
        let batch = Batch { from: position, records: &rest[..size] };
        match apply_once(assignment, std::slice::from_ref(&batch)).await? {
            Attempt::Applied => {
                contention = None;
                *position = batch.end();
                rest = &rest[size..];
                failure = failure.filter(|failed| failed.seq >= position.next_seq);
            }
            Attempt::Stale => return Ok(BatchOutcome::Stale),
            Attempt::Failed(FailedCall { applied, failing_event, error, is_repeatable, .. }) => {
                *position = batch.position_after(applied);
                let failed_seq = failing_event.map(|index| rest[index].header.seq);
                rest = &rest[applied..];
                let Some(seq) = failed_seq else {
                    one_by_one = true;
                    continue;
                };
                let earlier = contention.take().filter(|earlier| earlier.seq == seq);
                let lost = Contention {
                    seq,
                    since: earlier.as_ref().map_or(started, |earlier| earlier.since),
                    calls: earlier.map_or(0, |earlier| earlier.calls) + 1,
                };
                if is_repeatable && lost.since.elapsed() + lost.pause() < max_contention {
                    if assignment.ending.run_until_cancelled(sleep(lost.pause())).await.is_none() {
                        return Ok(BatchOutcome::Stopped);
                    }
                    contention = Some(lost);
                    continue;
                }
                let mut failed = match failure {
                    Some(failed) if failed.seq == seq => failed.again(error),
                    // Replay has counted this attempt already.
                    _ if seq == position.next_seq => Failure::of(seq, position.attempts.max(1), error),
                    _ => Failure::of(seq, 1, error),
                };
                failed.held += lost.since.elapsed();
                failure = Some(failed);
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

/// Moves the position after an effect, and returns whether it moved.
///
/// If the plan was meanwhile deferred at the same place, the position moves from there: the effect has happened and
/// need not be repeated.
async fn follow(
    assignment: &Assignment,
    connection: &mut PgConnection,
    from: &Position,
    to: &Position,
) -> Result<bool, LedgerError> {
    let context = &assignment.context;
    let mut from = from.clone();
    for _ in 0..2 {
        let moves = [move_between(&from, to)];
        if positions::advance(connection, context.subscription_no, &assignment.lease_epoch, &moves).await? {
            return Ok(true);
        }
        let positions = context.ledger().positions();
        let stored =
            positions.read(context.subscription_no, &[from.plan_no]).await?.remove(&from.plan_no).transpose()?;
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
