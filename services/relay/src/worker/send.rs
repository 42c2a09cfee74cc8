//! Sending, and the outcome of attempts to send.

use std::time::Duration;

use sealbus_broker::{EventMessage, PublishError};
use sealbus_core::error_chain;
use tokio::time::Instant;

use super::delete::AcknowledgedRow;
use super::{Event, Worker};
use crate::acks::{Attempt, Outcome};
use crate::metrics::FailureCause;
use crate::window::ToSend;

/// The number of events that are sent before the loop handles anything else.
const EVENTS_PER_ROUND: usize = 256;
/// How long acknowledged rows are collected before they are deleted together.
const DELETE_DELAY: Duration = Duration::from_millis(20);

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
            let Some(to_send) = self.windows.next_to_send() else { return false };
            if !self.send_one(to_send).await {
                return false;
            }
        }
        true
    }

    /// Sends one event. Returns whether others may be sent after it.
    async fn send_one(&mut self, ToSend { plan, seq, attempt, event }: ToSend<Event>) -> bool {
        let Event { record, plan_no } = event;
        let message = EventMessage::encode(&record, self.ledger.deployment().partitions);
        let attempt = Attempt { plan, seq, number: attempt, record, plan_no };
        let sent = match message {
            Ok(message) => self.broker.publish(message).await,
            Err(error) => Err(error.into()),
        };
        match sent {
            Ok(sent) => {
                self.acks.expect(attempt, sent);
                true
            }
            Err(error) => {
                let only_this_plan = FailureCause::from(&error) == FailureCause::Unsendable;
                self.on_failed(&attempt, &error);
                only_this_plan
            }
        }
    }

    async fn create_streams(&mut self) -> bool {
        let created = self.broker.ensure_topology(&self.config.topology).await;
        if let Err(error) = &created {
            tracing::warn!(error = %error_chain(error), "the streams cannot be created");
            self.streams_missing = true;
            self.backoff.on_failure(Instant::now());
        }
        created.is_ok()
    }

    /// Handles the outcome of an attempt.
    pub(super) fn on_outcome(&mut self, Outcome { attempt, result, latency }: Outcome) {
        match result {
            Ok(ack) => {
                if ack.duplicate { &self.metrics.duplicates } else { &self.metrics.acknowledged }.inc();
                self.metrics.acknowledged_after(latency);
                self.backoff.on_success(Instant::now());
                if let Some(row) = self.windows.on_acknowledged(&attempt.plan, attempt.seq, attempt.number) {
                    self.acknowledged.push(AcknowledgedRow { id: row.id, record: row.event.record });
                    self.delete_at.get_or_insert_with(|| Instant::now() + DELETE_DELAY);
                }
                let windows = &self.windows;
                self.latest_beacon.record(ack.stream_seq, attempt.record.event_hash, || windows.lowest_known_row());
            }
            Err(error) => self.on_failed(&attempt, &error),
        }
    }

    fn on_failed(&mut self, attempt: &Attempt, error: &PublishError) {
        if !self.windows.on_failed(&attempt.plan, attempt.seq, attempt.number) {
            return;
        }
        let cause = FailureCause::from(error);
        self.metrics.failure(cause);
        if cause == FailureCause::Unsendable {
            self.block(attempt, error);
            return;
        }
        self.streams_missing |= matches!(error, PublishError::NoStream);
        if self.backoff.on_failure(Instant::now()) {
            tracing::warn!(
                partition = self.partition,
                tenant = %attempt.plan.tenant,
                plan = %attempt.plan.name,
                seq = attempt.seq,
                error = %error_chain(error),
                "sending failed; the partition pauses, and events wait in the outbox"
            );
        }
    }

    /// Holds back a plan with an event that cannot be sent, because no later event may overtake it.
    fn block(&mut self, Attempt { plan, seq, plan_no, .. }: &Attempt, error: &PublishError) {
        self.windows.drop_waiting(plan, u64::MAX);
        self.blocked.extend(*plan_no);
        self.metrics.blocked_plans.inc();
        tracing::error!(
            tenant = %plan.tenant,
            plan = %plan.name,
            seq,
            error = %error_chain(error),
            "an event cannot be sent, and its plan is held back; run `sealbus verify` on the plan"
        );
    }
}
