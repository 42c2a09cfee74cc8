//! Calls of handlers: how the events of batches are divided into calls, and what a call ends with.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;

use crate::assignment::{Assignment, SubscriptionContext};
use crate::handler::{Cause, Delivery, HandlerError};
use crate::plan::effect::FailedCall;
use crate::plan::order::Batch;

/// The most bytes of an error's text that are stored.
const MAX_ERROR_BYTES: usize = 4_096;

/// One call of a handler, with some of the events that the subscription wants.
pub(super) struct HandlerCall {
    pub deliveries: Vec<Delivery>,
    /// The index of the batch that the first event belongs to.
    pub batch: usize,
    /// The index of the first event in that batch.
    pub first: usize,
}

impl HandlerCall {
    /// Returns the failure of the call, before which `applied` events of its batch took effect.
    pub(super) fn failed(&self, applied: usize, error: String) -> FailedCall {
        let failing_event = (self.deliveries.len() == 1).then_some(self.first);
        FailedCall { batch: self.batch, applied, failing_event, error, is_repeatable: false }
    }
}

/// The reason why a call of a handler failed.
pub(super) struct CallError {
    /// The text to store.
    pub text: String,
    /// What happened to the call.
    pub cause: Cause,
}

/// Divides the wanted events of some batches, in order, into calls of at most as many events as the handler takes.
pub(super) fn calls(assignment: &Assignment, batches: &[Batch<'_>]) -> Vec<HandlerCall> {
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

/// Runs one call of the handler. A call that exceeds the timeout and a panic are failures.
pub(super) async fn call_handler(
    context: &SubscriptionContext,
    apply: impl Future<Output = Result<(), HandlerError>>,
) -> Result<(), CallError> {
    let limit = context.settings().handler_timeout;
    let started = Instant::now();
    let outcome = tokio::time::timeout(limit, AssertUnwindSafe(apply).catch_unwind()).await;
    context.metrics.observe_handler(started.elapsed());
    let (text, cause) = match outcome {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(error))) => (error.to_string(), error.cause()),
        Ok(Err(panic)) => (format!("the handler panicked: {}", panic_text(panic.as_ref())), Cause::Returned),
        Err(_) => (format!("the handler took longer than {limit:?}"), Cause::TimedOut),
    };
    context.metrics.failed.inc();
    Err(CallError { text: stored_text(&text), cause })
}

/// Returns an error's text in the form that is stored.
pub(super) fn stored_text(error: &str) -> String {
    // A Postgres text column rejects NUL.
    error[..error.floor_char_boundary(MAX_ERROR_BYTES)].replace('\0', "\u{fffd}")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the panic has no text")
}
