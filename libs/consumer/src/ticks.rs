//! Periodic work that ends with the process.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Periods of the same length, until the process ends.
pub(crate) struct Ticks<'a> {
    interval: Interval,
    shutdown: &'a CancellationToken,
}

impl<'a> Ticks<'a> {
    /// Returns ticks of which the first comes after `first`, and each other one a period after the one before was taken.
    pub(crate) fn new(first: Duration, period: Duration, shutdown: &'a CancellationToken) -> Self {
        let mut interval = interval_at(Instant::now() + first, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, shutdown }
    }

    /// Waits for the next tick. Returns `false` once the process ends.
    pub(crate) async fn next(&mut self) -> bool {
        // A tick that is overdue is ready at once and would win over the cancellation.
        !self.shutdown.is_cancelled() && self.shutdown.run_until_cancelled(self.interval.tick()).await.is_some()
    }
}
