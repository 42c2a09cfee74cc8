//! Batches of events, and the calls of the handler that they are divided into.

use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_ledger::delivery::positions::Position;

use crate::handler::Delivery;
use crate::subscription::SubscriptionSpec;

/// Consecutive events of one plan that are to be applied, the first of them next at the position. It is never empty.
pub(crate) struct Batch<'a> {
    pub from: &'a Position,
    pub records: &'a [Arc<Record>],
}

impl Batch<'_> {
    /// Returns the position after the first `count` events of the batch.
    pub(crate) fn position_after(&self, count: usize) -> Position {
        let mut position = self.from.clone();
        if let Some(last) = count.checked_sub(1).and_then(|index| self.records.get(index)) {
            position.next_seq = last.header.seq + 1;
            position.last_hash = last.event_hash;
            position.stored = true;
            position.attempts = 0;
            position.agrees = true;
        }
        position
    }

    /// Returns the position after the whole batch.
    pub(crate) fn end(&self) -> Position {
        self.position_after(self.records.len())
    }
}

/// One call of a handler, with some of the events that the subscription wants.
pub(crate) struct HandlerCall {
    pub deliveries: Vec<Delivery>,
    /// The index of the batch that the first event belongs to.
    pub batch: usize,
    /// The index of the first event in that batch.
    pub first: usize,
}

impl HandlerCall {
    /// Returns the index, in its batch, of the event to blame for a failure of the call. Returns `None` if the call holds
    /// several events, because any of them can have failed.
    pub(crate) fn failing_event(&self) -> Option<usize> {
        (self.deliveries.len() == 1).then_some(self.first)
    }
}

/// Divides the wanted events of some batches, in order, into calls of at most `max_events`.
pub(crate) fn calls(
    batches: &[Batch<'_>],
    spec: &SubscriptionSpec,
    max_events: usize,
    deliver: impl Fn(&Arc<Record>) -> Delivery,
) -> Vec<HandlerCall> {
    let mut calls: Vec<HandlerCall> = Vec::new();
    for (batch, Batch { records, .. }) in batches.iter().enumerate() {
        for (index, record) in records.iter().enumerate().filter(|(_, record)| spec.wants(record)) {
            let delivery = deliver(record);
            match calls.last_mut() {
                Some(call) if call.deliveries.len() < max_events => call.deliveries.push(delivery),
                _ => calls.push(HandlerCall { deliveries: vec![delivery], batch, first: index }),
            }
        }
    }
    calls
}
