//! Several plans in one optimistic transaction, which makes many small plans cheap (docs/spec/protocol.md#consume-7).
//!
//! Plans share a transaction only while all goes well. A plan that is not simply live is processed by itself, and so
//! are all of them once one has failed.

use std::collections::HashMap;

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::{Position, PositionState};
use tracing::Instrument;

use crate::assignment::Assignment;
use crate::plan::actor::PlanActor;
use crate::plan::effect::{Attempt, FailedCall, apply_once};
use crate::plan::gather::{Gathered, gather};
use crate::plan::order::Batch;
use crate::plan::task::{Failure, PlanOutcome, PlanTask, Work};

/// Processes the tasks of several plans, and returns an outcome for each. An error means that the ledger cannot be used
/// now.
pub(crate) async fn process_together(
    assignment: &Assignment,
    tasks: &[PlanTask],
) -> Result<Vec<PlanOutcome>, LedgerError> {
    let unknown: Vec<_> = tasks.iter().filter(|task| task.position.is_none()).map(|task| &task.plan).collect();
    let mut read = if unknown.is_empty() { HashMap::new() } else { assignment.context.positions(&unknown).await? };
    let mut live: Vec<Option<(Position, Gathered)>> = Vec::with_capacity(tasks.len());
    for task in tasks {
        // A position that cannot be read is left to the plan's own task.
        let position = task.position.clone().or_else(|| read.remove(&task.plan)?.ok());
        live.push(match (position, &task.work) {
            (Some(position), Work::Arrived { arrivals, over_limit, failure: None })
                if position.state == PositionState::Live =>
            {
                let gathering = gather(assignment, &position, arrivals, *over_limit);
                let gathered = gathering.instrument(assignment.plan_span(&task.plan)).await?;
                Some((position, gathered))
            }
            _ => None,
        });
    }

    let batches = live.iter().enumerate().filter_map(|(index, plan)| {
        let (from, Gathered { records, .. }) = plan.as_ref()?;
        (!records.is_empty()).then_some((index, Batch { from, records }))
    });
    let mut batches: Vec<(usize, Batch<'_>)> = batches.collect();
    // All transactions lock positions in the same order, so that no two of them wait for each other.
    batches.sort_by_key(|(_, batch)| batch.from.plan_no);
    let (indexes, batches): (Vec<usize>, Vec<Batch<'_>>) = batches.into_iter().unzip();
    let attempt = if batches.is_empty() { Attempt::Applied } else { apply_once(assignment, &batches).await? };
    let failure = match attempt {
        Attempt::Applied => return conclude_all(assignment, tasks, live).await,
        Attempt::Stale => None,
        Attempt::Failed(FailedCall { batch, failing_event, error, .. }) => failing_event.map(|event| {
            let seq = batches[batch].records[event].header.seq;
            (indexes[batch], Failure::of(seq, 1, error))
        }),
    };
    let repeat = |index| {
        let own = failure.as_ref().filter(|(failed, _)| *failed == index);
        PlanOutcome::Repeat(own.map(|(_, failure)| failure.clone()))
    };
    Ok((0..tasks.len()).map(repeat).collect())
}

/// Does what each plan needs after its batch took effect. The others are processed by themselves.
async fn conclude_all(
    assignment: &Assignment,
    tasks: &[PlanTask],
    live: Vec<Option<(Position, Gathered)>>,
) -> Result<Vec<PlanOutcome>, LedgerError> {
    let mut outcomes = Vec::with_capacity(tasks.len());
    for (task, plan) in tasks.iter().zip(live) {
        outcomes.push(match plan {
            Some((from, Gathered { records, then })) => {
                let position = Batch { from: &from, records: &records }.end();
                let concluding = PlanActor { assignment, position }.conclude(then, task.work.highest_seq());
                concluding.instrument(assignment.plan_span(&task.plan)).await?
            }
            None => PlanOutcome::Repeat(None),
        });
    }
    Ok(outcomes)
}
