//! The pauses between attempts.

use std::time::Duration;

/// The longest pause, as a multiple of the first one.
const MAX_GROWTH: u32 = 100;

/// Pauses that double up to a hundred times the first one. Each is reduced at random by up to a half, so that clients
/// that failed at the same time do not retry at the same time.
pub(crate) struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// Returns the next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.first * MAX_GROWTH);
        pause
    }

    /// Starts again with the first pause, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_hundred_times_the_first_with_jitter() {
        let first = Duration::from_millis(50);
        let mut pauses = Pauses::new(first);
        for round in 0..20 {
            let full = (first * 2_u32.pow(round)).min(Duration::from_secs(5));
            let pause = pauses.next();
            assert!(pause >= full / 2 && pause <= full, "round {round}: {pause:?} of {full:?}");
        }
        pauses.reset();
        assert!(pauses.next() <= first);
    }
}
