//! Percentiles of a few thousand durations.

use std::time::Duration;

/// Durations in order.
pub(super) struct Percentiles(Vec<Duration>);

impl Percentiles {
    /// Sorts them.
    pub(super) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The smallest duration that `percent` of them do not exceed (nearest rank); zero of none.
    pub(super) fn at(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Milliseconds, for a person.
pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let durations = Percentiles::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!([1, 50, 99, 100].map(|percent| durations.at(percent).as_millis()), [1, 50, 99, 100]);
        assert_eq!(Percentiles::of(Vec::new()).at(50), Duration::ZERO);
    }
}
