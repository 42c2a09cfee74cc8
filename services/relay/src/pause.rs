//! A partition's pause after the broker refused, or did not answer: the outbox keeps what is owed, and publishing goes on.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after a first failure.
const SHORTEST: Duration = Duration::from_millis(20);
/// However often the broker fails, it is asked again after this.
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles with each failure in a row, and ends with a success.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    until: Option<Instant>,
    length: Duration,
}

impl Pause {
    /// The end of the pause, while there is one.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// A failure begins a pause. Says so; those of messages that were under way already belong to the pause there is.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        if self.until(now).is_some() {
            return false;
        }
        self.length = (self.length * 2).clamp(SHORTEST, LONGEST);
        self.until = Some(now + self.length);
        true
    }

    /// The broker took something. During a pause that says nothing: it was sent before.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        if self.until(now).is_none() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_limit_and_starts_over_after_a_success() {
        let (mut pause, mut now, mut lengths) = (Pause::default(), Instant::now(), Vec::new());
        for _ in 0..10 {
            assert!(pause.failed(now));
            assert!(!pause.failed(now), "one pause for all that fails at once");
            let until = pause.until(now).expect("it pauses");
            lengths.push((until - now).as_millis());
            now = until;
            assert_eq!(pause.until(now), None);
        }
        assert_eq!(lengths, [20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000]);
        pause.succeeded(now);
        assert!(pause.failed(now));
        pause.succeeded(now);
        assert_eq!(pause.until(now), Some(now + SHORTEST), "what was under way does not end it");
    }
}
