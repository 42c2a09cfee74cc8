//! Effects in the ledger's Postgres: the handler's statements, and then the move of the position, in one transaction.
//!
//! The position moves last, so that its row is locked for no longer than a commit takes. While a handler waits for a
//! lock of its own, its plan can still be deferred, noted and set aside.

use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_ledger::delivery::effects::{EffectLimits, check_constraints};
use sealbus_ledger::delivery::positions;
use sealbus_ledger::{LedgerError, LentConnection, is_of_statement, was_left_idle};
use sqlx::PgConnection;
use tracing::warn;

use crate::assignment::Assignment;
use crate::handler::{Cause, HandlerError, LedgerEffect};
use crate::metrics;
use crate::plan::effect::calls::{HandlerCall, call_handler, calls, stored_text};
use crate::plan::effect::{Attempt, FailedCall, follow, move_between};
use crate::plan::order::Batch;

/// How long a statement may wait for a lock in a transaction of several events. After that, each plan and each event goes
/// alone, so that one locked row does not hold up the others.
const SHARED_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Applies batches of different plans in one transaction.
///
/// A failure of the handler, and what the transaction's own constraints refuse, is a failed attempt. An error means that
/// the database could not be used: no attempt counts. After an error, and after a call that took too long, the connection
/// is closed: the server may still be working on it, or has ended the session.
pub(super) async fn apply_in_ledger(
    assignment: &Assignment,
    effect: &dyn LedgerEffect,
    batches: &[Batch<'_>],
) -> Result<Attempt, LedgerError> {
    let context = &assignment.context;
    let limit = context.settings().handler_timeout;
    let calls = calls(assignment, batches);
    let is_shared = batches.len() > 1 || calls.iter().map(|call| call.deliveries.len()).sum::<usize>() > 1;
    let mut limits = EffectLimits::of_call(limit);
    if is_shared {
        limits.lock_timeout = limits.lock_timeout.min(SHARED_LOCK_TIMEOUT);
    }
    let _permit = context.transactions.acquire().await;
    let lane = context.ledger().effects();
    let mut connection = LentConnection::acquire(lane).await?;
    let mut transaction = lane.within_deadline(limit, connection.begin_effect(limits)).await?;
    for call in &calls {
        let Err(error) = call_handler(context, effect.apply(&call.deliveries, &mut transaction)).await else {
            continue;
        };
        if error.cause != Cause::TimedOut {
            lane.within_deadline(limit, transaction.rollback()).await?;
            connection.release();
        }
        return Ok(Attempt::Failed(if_counted(call.failed(0, error.text), error.cause, is_shared)));
    }
    let refused = match lane.within_deadline(limit, check_constraints(&mut transaction)).await {
        Ok(()) => None,
        Err(LedgerError::Rejected(error)) => Some(error),
        // Elsewhere a session that the server ended counts as a broken connection. Here the handler left it idle. And a trigger of
        // the handler's can raise any SQLSTATE, also those of an unreachable database.
        Err(LedgerError::Unreachable(error)) if was_left_idle(&error) || is_of_statement(&error) => Some(error),
        Err(error) => return Err(error),
    };
    if let Some(error) = refused {
        let error = HandlerError::from(error);
        let cause = error.cause();
        if cause != Cause::TimedOut {
            lane.within_deadline(limit, transaction.rollback()).await?;
            connection.release();
        }
        context.metrics.failed.inc();
        let error = format!("the effect cannot be committed: {error}");
        return Ok(Attempt::Failed(if_counted(failure_of_one(&calls, &error), cause, is_shared)));
    }
    if !lane.within_deadline(limit, move_all(assignment, batches, &mut transaction)).await? {
        lane.within_deadline(limit, transaction.rollback()).await?;
        connection.release();
        context.metrics.fenced.inc();
        return Ok(Attempt::Stale);
    }
    lane.within_deadline(limit, transaction.commit()).await.inspect_err(|error| {
        warn!(error = %error_chain(error), "outcome of an effect's commit is unknown; its position is read again");
    })?;
    connection.release();
    metrics::add(&context.metrics.delivered, calls.iter().map(|call| call.deliveries.len()).sum());
    Ok(Attempt::Applied)
}

/// Returns the failure, with its event only if it counts as an attempt at it. In a transaction of several events a lock may have been
/// waited for because of another one, and alone the event may wait longer.
fn if_counted(failed: FailedCall, cause: Cause, is_shared: bool) -> FailedCall {
    let is_counted = !is_shared || cause == Cause::Returned;
    FailedCall { failing_event: failed.failing_event.filter(|_| is_counted), ..failed }
}

/// Returns the failure of the only call. If there are several, any of them can have failed.
fn failure_of_one(calls: &[HandlerCall], error: &str) -> FailedCall {
    let error = stored_text(error);
    match calls {
        [call] => call.failed(0, error),
        _ => FailedCall { batch: 0, applied: 0, failing_event: None, error, is_repeatable: false },
    }
}

/// Moves the positions of all batches, and returns whether all of them moved.
async fn move_all(
    assignment: &Assignment,
    batches: &[Batch<'_>],
    transaction: &mut PgConnection,
) -> Result<bool, LedgerError> {
    if let [batch] = batches {
        return follow(assignment, transaction, batch.from, &batch.end()).await;
    }
    let moves: Vec<_> = batches.iter().map(|batch| move_between(batch.from, &batch.end())).collect();
    positions::advance(transaction, assignment.context.subscription_no, &assignment.lease_epoch, &moves).await
}
