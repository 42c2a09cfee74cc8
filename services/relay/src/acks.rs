//! Acknowledgements, which a separate task awaits: with one task for sending and awaiting, each could block the other for
//! ever (`docs/spec/protocol.md#relay-2`).

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use sealbus_broker::{Ack, PublishError, Sent};
use sealbus_core::event::Record;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::window::PlanId;

/// One attempt to send an event.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The plan.
    pub plan: PlanId,
    /// The event's seq.
    pub seq: u64,
    /// The number of the attempt, unique within the partition.
    pub number: u64,
    /// The event.
    pub record: Arc<Record>,
    /// The plan's number, if the event was read from the ledger.
    pub plan_no: Option<i64>,
}

/// The outcome of an attempt.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The attempt.
    pub attempt: Attempt,
    /// The acknowledgement of the stream.
    pub result: Result<Ack, PublishError>,
    /// The time from sending to the outcome.
    pub latency: Duration,
}

/// The task that awaits acknowledgements. Its channels are unbounded: the window of each plan limits what is in flight.
pub(crate) struct Acks {
    sent: mpsc::UnboundedSender<(Attempt, Sent, Instant)>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    _task: AbortOnDropHandle<()>,
}

impl Acks {
    /// Starts the task. It ends when this is dropped.
    pub(crate) fn start() -> Self {
        let (sent, to_await) = mpsc::unbounded_channel();
        let (done, outcomes) = mpsc::unbounded_channel();
        Self { sent, outcomes, _task: AbortOnDropHandle::new(tokio::spawn(await_all(to_await, done))) }
    }

    /// Hands over an attempt in flight.
    pub(crate) fn expect(&self, attempt: Attempt, sent: Sent) {
        // The send fails only after a panic of the task.
        let _ = self.sent.send((attempt, sent, Instant::now()));
    }

    /// Waits for the next outcome. Cancel safe.
    pub(crate) async fn next(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => outcome,
            // The channel closes only after a panic of the task.
            None => std::future::pending().await,
        }
    }

    /// Returns the next outcome if there is one already.
    pub(crate) fn try_next(&mut self) -> Option<Outcome> {
        self.outcomes.try_recv().ok()
    }
}

async fn await_all(
    mut to_await: mpsc::UnboundedReceiver<(Attempt, Sent, Instant)>,
    done: mpsc::UnboundedSender<Outcome>,
) {
    let mut in_flight = FuturesUnordered::new();
    loop {
        tokio::select! {
            sent = to_await.recv() => {
                let Some((attempt, sent, sent_at)) = sent else { return };
                in_flight.push(async move {
                    let result = sent.acknowledged().await;
                    Outcome { attempt, result, latency: sent_at.elapsed() }
                });
            }
            Some(outcome) = in_flight.next() => {
                if done.send(outcome).is_err() {
                    return;
                }
            }
        }
    }
}
