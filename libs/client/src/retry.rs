//! The pauses between attempts.

use std::time::Duration;

/// No pause is longer than this many first pauses.
const GROWTH: u32 = 100;

/// Pauses that double, up to a hundredfold, each cut by up to half at random, so that callers who failed together do not
/// come back together.
pub(crate) struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.first * GROWTH);
        pause
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_hundredfold_with_jitter() {
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
