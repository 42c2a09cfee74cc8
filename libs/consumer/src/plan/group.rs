//! Several plans in one optimistic transaction, which makes many small plans cheap (docs/spec/protocol.md#consume-7).
//!
//! Plans share a transaction only while all goes well. A plan that is not simply live is processed by itself, and so
//! are all of them once one has failed.

use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::PositionState;
use tracing::{Instrument, Span};

use crate::assignment::Assignment;
use crate::plan::actor::PlanActor;
use crate::plan::batch::Batch;
use crate::plan::effect::{EffectError, FailedCall, apply_once};
use crate::plan::gather::{Gathered, gather};
use crate::plan::task::{Failure, PlanOutcome, PlanTask, Work, highest_seq};

/// Processes the tasks of several plans, and returns an outcome for each. An error means that the ledger cannot be used
/// now.
pub(crate) async fn process_together(
    assignment: &Assignment,
    tasks: &mut [PlanTask],
) -> Result<Vec<PlanOutcome>, LedgerError> {
    let context = &assignment.context;
    let unknown: Vec<_> = tasks.iter().filter(|task| task.position.is_none()).map(|task| &task.plan).collect();
    if !unknown.is_empty() {
        let mut positions = context.positions(&unknown).await?;
        for task in tasks.iter_mut().filter(|task| task.position.is_none()) {
            task.position = positions.remove(&task.plan);
        }
    }
    let spans: Vec<Span> = tasks.iter().map(|task| assignment.plan_span(&task.plan)).collect();
    let mut gathered: Vec<Option<Gathered>> = Vec::with_capacity(tasks.len());
    for (task, span) in tasks.iter().zip(&spans) {
        gathered.push(match (&task.position, &task.work) {
            (Some(position), Work::Arrived { arrivals, over_limit, failure: None })
                if position.state == PositionState::Live =>
            {
                Some(gather(assignment, position, arrivals, *over_limit).instrument(span.clone()).await?)
            }
            _ => None,
        });
    }

    let mut shared: Vec<(usize, Batch<'_>)> = Vec::new();
    for (index, (task, gathered)) in tasks.iter().zip(&gathered).enumerate() {
        if let (Some(from), Some(Gathered { records, .. })) = (&task.position, gathered)
            && !records.is_empty()
        {
            shared.push((index, Batch { from, records }));
        }
    }
    // All transactions lock positions in the same order, so that no two of them wait for each other.
    shared.sort_by_key(|(_, batch)| batch.from.plan_no);
    let (indexes, batches): (Vec<usize>, Vec<Batch<'_>>) = shared.into_iter().unzip();
    let applied = if batches.is_empty() { Ok(()) } else { apply_once(assignment, &batches).await };
    let failure = match applied {
        Ok(()) => {
            let moved: Vec<_> = indexes.iter().copied().zip(batches.iter().map(Batch::end)).collect();
            for (index, position) in moved {
                tasks[index].position = Some(position);
            }
            return conclude_all(assignment, tasks, gathered, spans).await;
        }
        Err(EffectError::Ledger(error)) => return Err(error),
        Err(EffectError::Stale) => None,
        Err(EffectError::Handler(FailedCall { batch, failing_event, error, .. })) => failing_event.map(|event| {
            let seq = batches[batch].records[event].header.seq;
            (indexes[batch], Failure::first(seq, error))
        }),
    };
    let repeat = |index| {
        let own = failure.as_ref().filter(|(failed, _)| *failed == index);
        PlanOutcome::Repeat(own.map(|(_, failure)| failure.clone()))
    };
    Ok((0..tasks.len()).map(repeat).collect())
}

/// Does what each plan needs after its batch took effect.
async fn conclude_all(
    assignment: &Assignment,
    tasks: &mut [PlanTask],
    gathered: Vec<Option<Gathered>>,
    spans: Vec<Span>,
) -> Result<Vec<PlanOutcome>, LedgerError> {
    let mut outcomes = Vec::with_capacity(tasks.len());
    for ((task, gathered), span) in tasks.iter_mut().zip(gathered).zip(spans) {
        let (Some(position), Some(gathered), Work::Arrived { arrivals, .. }) =
            (task.position.take(), gathered, &task.work)
        else {
            outcomes.push(PlanOutcome::Repeat(None));
            continue;
        };
        let actor = PlanActor { assignment, position };
        outcomes.push(actor.conclude(gathered.then, highest_seq(arrivals)).instrument(span).await?);
    }
    Ok(outcomes)
}
