//! The metrics of an appender. The process that appends registers them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::call::AppendError;
use super::queue::Waiting;
use crate::LedgerError;

/// The metrics of an appender. Clones share them.
#[derive(Clone, Debug)]
pub struct AppendMetrics {
    /// Events of calls that wait for a batch or are in one.
    pub waiting_events: Gauge,
    /// Events in each batch, with those that were stored already.
    pub batch_events: Histogram,
    /// Calls that were put back because their plan was busy.
    pub deferrals: Counter,
    /// Batches that waited alone for the lock of their plan.
    pub alone: Counter,
    /// Seconds until the locks of a batch were taken and the heads of its plans read.
    pub lock: Histogram,
    /// Seconds of each transaction, also of one that failed.
    pub transaction: Histogram,
    /// Seconds of each commit that succeeded.
    pub commit: Histogram,
    /// Calls that were answered without knowing whether their events are stored.
    pub unknown_outcomes: Counter,
    /// Calls that were refused because the database has a history that nobody has confirmed.
    pub refused_after_failover: Counter,
}

impl Default for AppendMetrics {
    fn default() -> Self {
        // 1 ms to 16 s.
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Self {
            waiting_events: Gauge::default(),
            batch_events: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            deferrals: Counter::default(),
            alone: Counter::default(),
            lock: seconds(),
            transaction: seconds(),
            commit: seconds(),
            unknown_outcomes: Counter::default(),
            refused_after_failover: Counter::default(),
        }
    }
}

impl AppendMetrics {
    /// Counts a batch with the events of its calls.
    pub(super) fn batch(&self, calls: &[Waiting]) {
        let events: usize = calls.iter().map(|waiting| waiting.call.events.len()).sum();
        self.batch_events.observe(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
    }

    /// Counts calls that were answered with the error of their batch.
    pub(super) fn failed(&self, error: &AppendError, calls: usize) {
        let counter = match error {
            AppendError::OtherHistory(_) => &self.refused_after_failover,
            AppendError::Unavailable(error)
                if matches!(**error, LedgerError::Unreachable(_) | LedgerError::OutcomeUnknown(_)) =>
            {
                &self.unknown_outcomes
            }
            _ => return,
        };
        counter.inc_by(calls as u64);
    }
}

/// The events of a waiting call in the gauge of waiting events. Dropping it takes them out.
pub(super) struct WaitingEvents {
    gauge: Gauge,
    events: i64,
}

impl WaitingEvents {
    pub(super) fn new(gauge: &Gauge, events: usize) -> Self {
        let events = i64::try_from(events).expect("a call has at most 1,000 events");
        gauge.inc_by(events);
        Self { gauge: gauge.clone(), events }
    }
}

impl Drop for WaitingEvents {
    fn drop(&mut self) {
        self.gauge.dec_by(self.events);
    }
}
