//! External effects: the handler runs first, then the position moves. The lease is checked before each call.

use sealbus_ledger::{LedgerError, LentConnection};

use crate::assignment::Assignment;
use crate::handler::{Cause, ExternalEffect};
use crate::metrics;
use crate::plan::effect::calls::{call_handler, calls};
use crate::plan::effect::{Attempt, FailedCall, follow};
use crate::plan::order::Batch;

/// Applies a batch of one plan, and moves the position past the events that took effect.
pub(super) async fn apply_externally(
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
            let is_repeatable = error.cause == Cause::Contention;
            failed = Some(FailedCall { is_repeatable, ..call.failed(call.first, error.text) });
            break;
        }
        delivered += call.deliveries.len();
    }
    let applied = failed.as_ref().map_or(batch.records.len(), |failed| failed.applied);
    if applied > 0 {
        let lane = context.ledger().effects();
        let mut connection = LentConnection::acquire(lane).await?;
        let position = batch.position_after(applied);
        let moving = follow(assignment, &mut connection, batch.from, &position);
        let moved = lane.within_deadline(context.settings().handler_timeout, moving).await?;
        connection.release();
        if !moved {
            context.metrics.fenced.inc();
            return Ok(Attempt::Stale);
        }
    }
    metrics::add(&context.metrics.delivered, delivered);
    Ok(failed.map_or(Attempt::Applied, Attempt::Failed))
}
