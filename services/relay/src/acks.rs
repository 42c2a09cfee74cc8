//! Acknowledgements, awaited by a task of their own: one that also sends could hold up both for ever.

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
    /// The event's plan.
    pub plan: PlanId,
    /// Its seq.
    pub seq: u64,
    /// Which attempt this is.
    pub ticket: u64,
    /// The event.
    pub record: Arc<Record>,
    /// Its plan's number, where the ledger told it.
    pub plan_no: Option<i64>,
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The attempt.
    pub attempt: Attempt,
    /// The stream's answer.
    pub result: Result<Ack, PublishError>,
    /// How long it took.
    pub took: Duration,
}

/// Awaits what it is given, all at once. Neither side waits for the other: what is under way is bounded by the sender.
pub(crate) struct Acks {
    sent: mpsc::UnboundedSender<(Attempt, Sent, Instant)>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    _task: AbortOnDropHandle<()>,
}

impl Acks {
    /// Starts the task.
    pub(crate) fn start() -> Self {
        let (sent, to_await) = mpsc::unbounded_channel();
        let (done, outcomes) = mpsc::unbounded_channel();
        Self { sent, outcomes, _task: AbortOnDropHandle::new(tokio::spawn(drive(to_await, done))) }
    }

    /// Hands over an attempt that is under way.
    pub(crate) fn expect(&self, attempt: Attempt, sent: Sent) {
        // The task ends after this struct does.
        let _ = self.sent.send((attempt, sent, Instant::now()));
    }

    /// The next outcome. Safe to drop and ask again.
    pub(crate) async fn next(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => outcome,
            // Only a panic of the task's ends it before this struct; nothing will ever come.
            None => std::future::pending().await,
        }
    }

    /// The next outcome, if it is there already.
    pub(crate) fn ready(&mut self) -> Option<Outcome> {
        self.outcomes.try_recv().ok()
    }
}

async fn drive(mut to_await: mpsc::UnboundedReceiver<(Attempt, Sent, Instant)>, done: mpsc::UnboundedSender<Outcome>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            sent = to_await.recv() => {
                let Some((attempt, sent, at)) = sent else { return };
                under_way.push(async move {
                    let result = sent.acknowledged().await;
                    Outcome { attempt, result, took: at.elapsed() }
                });
            }
            Some(outcome) = under_way.next() => {
                if done.send(outcome).is_err() {
                    return;
                }
            }
        }
    }
}
