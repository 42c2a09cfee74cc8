//! Messages of the broker: pulled, checked against their seals, and passed to the worker of the assignment or answered.
//!
//! A message whose seal does not hold is refused, counted and logged as an error; the event of that place is read from
//! the ledger instead. A message is terminated only if it is not an event of this assignment, or claims a place that
//! the ledger has no event for (docs/spec/protocol.md#consume-2, docs/spec/protocol.md#consume-4).

use std::sync::Arc;

use sealbus_broker::{ConsumerSpec, Delivered, Handle};
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::subscriptions::Start;
use tokio::sync::mpsc;
use tracing::{Instrument, error, warn};

use crate::assignment::Assignment;
use crate::plan::message::QueuedMessage;
use crate::seals::Source;

/// The result of checking a message of the broker.
enum Received {
    /// An event of this assignment whose seal holds; it may have been read from the ledger in place of a forgery. It is
    /// queued for its plan, and the message is acknowledged once the position covers it.
    Event(Arc<Record>),
    /// An event of a tenant that the subscription does not follow. The message is acknowledged at once.
    NotFollowed,
    /// Not an event of this ledger and partition, or a forgery for a place that the ledger has no event for. The
    /// message is terminated: the broker never delivers it again.
    Invalid,
    /// An event whose seal does not hold, while the ledger cannot be read. The message gets no answer, so that the
    /// broker delivers it again after the acknowledgement wait.
    Undecided,
}

/// Pulls messages until the assignment ends or the receiver of `queue` is dropped. While the broker is unreachable it
/// waits.
pub(crate) async fn pull(assignment: Arc<Assignment>, queue: mpsc::Sender<QueuedMessage<Arc<Handle>>>) {
    let span = assignment.span();
    async {
        let (context, settings) = (&assignment.context, assignment.context.settings());
        let mut deliveries = context.process.broker.deliveries(ConsumerSpec {
            subscription: context.spec.name.clone(),
            partition: assignment.partition,
            from_now: context.spec.start == Start::Now,
            ack_wait: settings.ack_wait,
        });
        loop {
            let batch = tokio::select! {
                () = assignment.ending.cancelled() => return,
                batch = deliveries.next_batch() => batch,
            };
            for Delivered { record, handle } in batch {
                let received = match record {
                    Ok(record) => receive(&assignment, record).await,
                    Err(error) => {
                        context.metrics.refused.inc();
                        let (stream_seq, error) = (handle.stream_seq, error_chain(&error));
                        warn!(stream_seq, error, "message is not a Sealbus event; terminated");
                        Received::Invalid
                    }
                };
                match received {
                    Received::NotFollowed => handle.ack().await,
                    Received::Invalid => handle.term().await,
                    Received::Undecided => {}
                    Received::Event(record) => {
                        if queue.send(QueuedMessage::new(record, handle.deliveries, Arc::new(handle))).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
    .instrument(span)
    .await;
}

async fn receive(assignment: &Assignment, record: Record) -> Received {
    let (header, context) = (&record.header, &assignment.context);
    let seals = &context.process.seals;
    let partition = seals.partition(&header.tenant, &header.plan);
    if header.origin != seals.origin || assignment.partition.is_some_and(|assigned| assigned != partition) {
        warn!(
            origin = header.origin,
            of_partition = partition,
            "message is of another ledger or partition; terminated"
        );
        return Received::Invalid;
    }
    if !context.spec.follows(&header.tenant) {
        return Received::NotFollowed;
    }
    let Err(verdict) = seals.check(&record, Source::Message) else { return Received::Event(Arc::new(record)) };
    let (tenant, plan, seq, verdict) = (&header.tenant, &header.plan, header.seq, verdict.as_str());
    context.metrics.refused.inc();
    error!(tenant, plan, seq, verdict, "seal of a message does not hold; the event is read from the ledger instead");
    match event_from_ledger(assignment, &record).await {
        Ok(Some(stored)) => Received::Event(Arc::new(stored)),
        Ok(None) => Received::Invalid,
        Err(error) => {
            let error = error_chain(&error);
            warn!(tenant, plan, seq, error, "event cannot be read from the ledger; waiting for the next delivery");
            Received::Undecided
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
    Ok(stored.filter(|stored| context.process.seals.check(stored, Source::Ledger).is_ok()))
}
