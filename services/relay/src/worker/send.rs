//! Sending, and the outcome of attempts to send.

use std::time::Duration;

use sealbus_broker::{Ack, EventMessage, PublishError};
use sealbus_core::error_chain;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::{Event, Worker};
use crate::window::Attempt;

/// The number of events that are sent before the loop handles anything else.
const EVENTS_PER_ROUND: usize = 256;
/// How long acknowledged rows are collected before they are deleted together.
const DELETE_DELAY: Duration = Duration::from_millis(20);

/// The outcome of an attempt, which a separate task awaits: with one task for sending and awaiting, each could block the
/// other for ever (`docs/spec/protocol.md#relay-2`).
pub(super) struct Outcome {
    attempt: Attempt<Event>,
    result: Result<Ack, PublishError>,
    /// The time from sending to the outcome.
    latency: Duration,
}

impl Worker {
    /// Sends the events that may be sent. Returns whether more may be sent at once.
    pub(super) async fn send(&mut self) -> bool {
        let now = Instant::now();
        if !self.connection.up || self.backoff.paused_until(now).is_some() || !self.lease.still_held() {
            return false;
        }
        if std::mem::take(&mut self.streams_missing) && !self.create_streams().await {
            return false;
        }
        for _ in 0..EVENTS_PER_ROUND {
            let Some(attempt) = self.windows.next_to_send() else { return false };
            if !self.send_one(attempt).await {
                return false;
            }
        }
        true
    }

    /// Sends one event. Returns whether others may be sent after it.
    async fn send_one(&mut self, attempt: Attempt<Event>) -> bool {
        let message = EventMessage::encode(&attempt.event.record, self.resources.ledger.deployment().partitions);
        let sent = match message {
            Ok(message) => self.resources.broker.publish(message).await,
            Err(error) => Err(error.into()),
        };
        match sent {
            Ok(sent) => {
                let sent_at = Instant::now();
                self.outcomes.spawn(async move {
                    let result = sent.acknowledged().await;
                    Outcome { attempt, result, latency: sent_at.elapsed() }
                });
                true
            }
            Err(error) => {
                self.on_failed(&attempt, &error);
                is_unsendable(&error)
            }
        }
    }

    async fn create_streams(&mut self) -> bool {
        let created = self.resources.broker.ensure_topology(&self.config.topology).await;
        if let Err(error) = &created {
            tracing::warn!(error = %error_chain(error), "the streams cannot be created");
            self.streams_missing = true;
            self.backoff.on_failure(Instant::now());
        }
        created.is_ok()
    }

    /// Handles the outcome of an attempt.
    pub(super) fn on_outcome(&mut self, outcome: Result<Outcome, JoinError>) {
        let Outcome { attempt, result, latency } = match outcome {
            Ok(outcome) => outcome,
            Err(crashed) if crashed.is_panic() => std::panic::resume_unwind(crashed.into_panic()),
            // The process ends and has cancelled its tasks.
            Err(_) => return,
        };
        match result {
            Ok(ack) => {
                let metrics = &self.resources.metrics;
                if ack.duplicate { &metrics.duplicates } else { &metrics.acknowledged }.inc();
                metrics.ack_latency.observe(latency.as_secs_f64());
                self.backoff.on_success(Instant::now());
                if let Some(row) = self.windows.on_acknowledged(&attempt.plan, attempt.seq, attempt.number) {
                    self.acknowledged.push(row);
                    self.delete_at.get_or_insert_with(|| Instant::now() + DELETE_DELAY);
                }
                let (hash, windows) = (attempt.event.record.event_hash, &self.windows);
                self.latest_beacon.record(ack.stream_seq, hash, || windows.lowest_known_row());
            }
            Err(error) => self.on_failed(&attempt, &error),
        }
    }

    fn on_failed(&mut self, attempt: &Attempt<Event>, error: &PublishError) {
        let Attempt { plan, seq, number, event } = attempt;
        if !self.windows.on_failed(plan, *seq, *number) {
            return;
        }
        self.resources.metrics.failure(error);
        if is_unsendable(error) {
            // No later event may overtake this one.
            self.windows.drop_waiting(plan, u64::MAX);
            self.blocked.extend(event.plan_no);
            self.resources.metrics.blocked_plans.inc();
            tracing::error!(
                tenant = %plan.tenant,
                plan = %plan.name,
                seq,
                error = %error_chain(error),
                "an event cannot be sent, and its plan is held back; run `sealbus verify` on the plan"
            );
            return;
        }
        self.streams_missing |= matches!(error, PublishError::NoStream);
        if self.backoff.on_failure(Instant::now()) {
            tracing::warn!(
                partition = self.partition,
                tenant = %plan.tenant,
                plan = %plan.name,
                seq,
                error = %error_chain(error),
                "sending failed; the partition pauses, and events wait in the outbox"
            );
        }
    }
}

/// Returns whether the event can never be sent as it is. Other events can be sent after such a failure.
fn is_unsendable(error: &PublishError) -> bool {
    matches!(error, PublishError::TooLarge | PublishError::Encode(_))
}
