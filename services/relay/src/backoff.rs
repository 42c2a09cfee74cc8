//! The pause of a partition after the broker refused a message or did not answer (`docs/spec/protocol.md#relay-pause`).

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first failure.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// An exponential backoff: each failure in a row doubles the pause, and a success resets it.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    paused_until: Option<Instant>,
    pause: Duration,
}

impl Backoff {
    /// Returns the end of the pause, or `None` if there is no pause now.
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Records a failure. Returns whether it started a pause: a failure during a pause is of a message that was in flight
    /// when the pause started, and does not lengthen it.
    pub(crate) fn on_failure(&mut self, now: Instant) -> bool {
        if self.paused_until(now).is_some() {
            return false;
        }
        self.pause = (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
        self.paused_until = Some(now + self.pause);
        true
    }

    /// Records a success, which resets the backoff. A success during a pause is ignored: its message was sent before.
    pub(crate) fn on_success(&mut self, now: Instant) {
        if self.paused_until(now).is_none() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_start_over_after_a_success() {
        let (mut backoff, mut now, mut pauses) = (Backoff::default(), Instant::now(), Vec::new());

        // Ten failures in a row.
        for _ in 0..10 {
            assert!(backoff.on_failure(now));
            assert!(!backoff.on_failure(now), "a failure during a pause started another one");
            let until = backoff.paused_until(now).expect("a failure starts a pause");
            pauses.push((until - now).as_millis());
            now = until;
            assert_eq!(backoff.paused_until(now), None);
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000]);

        // A success after the pause resets the backoff, a success during a pause does not end it.
        backoff.on_success(now);
        assert!(backoff.on_failure(now));
        backoff.on_success(now);
        assert_eq!(
            backoff.paused_until(now),
            Some(now + MIN_PAUSE),
            "a success of a message in flight ended the pause"
        );
    }
}
