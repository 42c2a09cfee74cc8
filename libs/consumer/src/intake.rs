//! Messages of the broker: pulled, checked against their seals, and passed to the worker of the assignment or answered.
//!
//! A message whose seal does not hold is refused, counted and logged as an error; the event of that place is read from
//! the ledger instead. A message is terminated only if it is not an event of this assignment, or claims a place that
//! the ledger has no event for (docs/spec/protocol.md#consume-2, docs/spec/protocol.md#consume-4).

use std::sync::Arc;

use sealbus_broker::{ConsumerSpec, Delivered, Handle};
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::partition::PlanKey;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_ledger::{Deployment, LedgerError};
use tokio::sync::mpsc;
use tracing::{Instrument, error, warn};

use crate::assignment::Assignment;
use crate::plan::message::QueuedMessage;
use crate::seals::Source;

/// Pulls messages until the assignment ends or the receiver of `queue` is dropped. While the broker is unreachable it
/// waits.
pub(crate) async fn pull(assignment: Arc<Assignment>, queue: mpsc::Sender<QueuedMessage<Arc<Handle>>>) {
    let span = assignment.span();
    async {
        let context = &assignment.context;
        let mut deliveries = context.process.broker.deliveries(ConsumerSpec {
            subscription: context.spec.name.clone(),
            partition: assignment.partition,
            from_now: context.spec.start == Start::Now,
            ack_wait: context.settings().ack_wait,
        });
        // With a backlog the next batch is ready at once and would win over the cancellation.
        while !assignment.ending.is_cancelled()
            && let Some(batch) = assignment.ending.run_until_cancelled(deliveries.next_batch()).await
        {
            for delivered in batch {
                if let Some(message) = receive(&assignment, delivered).await
                    && queue.send(message).await.is_err()
                {
                    return;
                }
            }
        }
    }
    .instrument(span)
    .await;
}

/// Returns a message with its event, or with the ledger's event in its place. It is acknowledged once the position
/// covers the event. Answers all other messages.
async fn receive(assignment: &Assignment, delivered: Delivered) -> Option<QueuedMessage<Arc<Handle>>> {
    let Delivered { record, handle } = delivered;
    let (context, process) = (&assignment.context, &assignment.context.process);
    let record = match record {
        Ok(record) => record,
        Err(error) => {
            context.metrics.refused.inc();
            let (stream_seq, error) = (handle.stream_seq, error_chain(&error));
            warn!(stream_seq, error, "message is not a Sealbus event; terminated");
            handle.term().await;
            return None;
        }
    };
    let header = &record.header;
    let Deployment { origin, partitions, .. } = process.ledger.deployment();
    let partition = PlanKey::of(&header.tenant, &header.plan).partition(*partitions);
    if header.origin != *origin || assignment.partition.is_some_and(|assigned| assigned != partition) {
        let origin = &header.origin;
        warn!(origin, of_partition = partition, "message is of another ledger or partition; terminated");
        handle.term().await;
        return None;
    }
    if !context.spec.follows(&header.tenant) {
        handle.ack().await;
        return None;
    }
    let Err(verdict) = process.check_seal(&record, Source::Message) else {
        return Some(QueuedMessage::new(Arc::new(record), handle.deliveries, Arc::new(handle)));
    };
    let (tenant, plan, seq, verdict) = (&header.tenant, &header.plan, header.seq, verdict.as_str());
    context.metrics.refused.inc();
    error!(tenant, plan, seq, verdict, "seal of a message does not hold; the event is read from the ledger instead");
    match event_from_ledger(assignment, &record).await {
        Ok(Some(stored)) => Some(QueuedMessage::new(Arc::new(stored), handle.deliveries, Arc::new(handle))),
        Ok(None) => {
            handle.term().await;
            None
        }
        Err(error) => {
            let error = error_chain(&error);
            warn!(tenant, plan, seq, error, "event cannot be read from the ledger; waiting for the next delivery");
            None
        }
    }
}

/// Reads the ledger's event at the place that a refused message claims.
///
/// An event whose seal does not hold in the ledger either is left to the sweep and replay, which report it.
async fn event_from_ledger(assignment: &Assignment, claimed: &Record) -> Result<Option<Record>, LedgerError> {
    let (context, header) = (&assignment.context, &claimed.header);
    let ledger = context.ledger();
    let Some(plan_no) = ledger.history().plan_no(&header.tenant, &header.plan).await? else { return Ok(None) };
    let stored = ledger.history().range(plan_no, header.seq, header.seq, 1).await?.pop();
    Ok(stored.filter(|stored| context.process.check_seal(stored, Source::Ledger).is_ok()))
}
