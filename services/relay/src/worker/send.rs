//! Sending, and what comes of it.

use std::error::Error;
use std::time::Duration;

use sealbus_broker::{EventMessage, PublishError};
use tokio::time::Instant;

use super::{Event, Worker};
use crate::acks::{Attempt, Outcome};
use crate::metrics::Cause;
use crate::outbox_scan::Done;
use crate::window::Sending;

/// Sent in one go before the loop looks at anything else.
const BURST: usize = 256;
/// How long an acknowledged row waits for company before it is deleted.
const DELETE_AFTER: Duration = Duration::from_millis(20);

impl Worker {
    /// Sends what may be sent, and says whether there is more to send at once.
    pub(super) async fn send(&mut self) -> bool {
        let now = Instant::now();
        if !self.on.up || self.pause.until(now).is_some() || !self.lease.still_held() {
            return false;
        }
        if std::mem::take(&mut self.streams_missing) && !self.make_streams().await {
            return false;
        }
        for _ in 0..BURST {
            let Some(sending) = self.windows.send_next() else { return false };
            if !self.send_one(sending).await {
                return false;
            }
        }
        true
    }

    /// Sends one event. Says whether to go on.
    async fn send_one(&mut self, Sending { plan, seq, ticket, event }: Sending<Event>) -> bool {
        let Event { record, plan_no } = event;
        let message = EventMessage::encode(&record, self.ledger.deployment().partitions);
        let attempt = Attempt { plan, seq, ticket, record, plan_no };
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
                let goes_on = matches!(Cause::from(&error), Cause::Unsendable);
                self.failed(&attempt, &error);
                goes_on
            }
        }
    }

    async fn make_streams(&mut self) -> bool {
        let made = self.broker.ensure_topology(&self.config.topology).await;
        if let Err(error) = &made {
            tracing::warn!(error = error as &dyn Error, "the streams cannot be made");
            self.streams_missing = true;
            self.pause.failed(Instant::now());
        }
        made.is_ok()
    }

    pub(super) fn settle(&mut self, Outcome { attempt, result, took }: Outcome) {
        match result {
            Ok(ack) => {
                if ack.duplicate { &self.metrics.duplicates } else { &self.metrics.acknowledged }.inc();
                self.metrics.took(took);
                self.pause.succeeded(Instant::now());
                if let Some(row) = self.windows.acknowledged(&attempt.plan, attempt.seq, attempt.ticket) {
                    self.done.push(Done { id: row.id, record: row.event.record });
                    self.delete_at.get_or_insert_with(|| Instant::now() + DELETE_AFTER);
                }
                let windows = &self.windows;
                self.board.note(ack.stream_seq, attempt.record.event_hash, || windows.lowest_known());
            }
            Err(error) => self.failed(&attempt, &error),
        }
    }

    fn failed(&mut self, attempt: &Attempt, error: &PublishError) {
        if !self.windows.failed(&attempt.plan, attempt.seq, attempt.ticket) {
            return;
        }
        let cause = Cause::from(error);
        self.metrics.failure(cause);
        if cause == Cause::Unsendable {
            self.block(attempt, error);
            return;
        }
        self.streams_missing |= matches!(error, PublishError::NoStream);
        if self.pause.failed(Instant::now()) {
            let (tenant, plan, seq) = (&attempt.plan.tenant, &attempt.plan.plan, attempt.seq);
            tracing::warn!(partition = self.partition, tenant, plan, seq, %error, "sending failed; the partition pauses, and the outbox grows");
        }
    }

    /// Holds a plan back whose event cannot be sent: what comes after it must not overtake it.
    fn block(&mut self, Attempt { plan, seq, plan_no, .. }: &Attempt, error: &(dyn Error + 'static)) {
        self.windows.drop_waiting(plan, u64::MAX);
        self.blocked.extend(*plan_no);
        self.metrics.blocked.inc();
        tracing::error!(
            tenant = plan.tenant,
            plan = plan.plan,
            seq,
            error,
            "an event cannot be sent, and its plan waits; run `sealbus verify` on it"
        );
    }
}
