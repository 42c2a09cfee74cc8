//! Percentiles and medians of measurements.

use std::fmt;
use std::time::Duration;

/// Sorted durations.
pub(super) struct Percentiles(Vec<Duration>);

impl Percentiles {
    pub(super) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// Returns the smallest duration that `percent` of them do not exceed (nearest rank), or zero if nothing was measured.
    pub(super) fn at(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [50, 99].map(|percent| self.at(percent).as_secs_f64() * 1_000.0);
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms ({} of them)", self.0.len())
    }
}

/// Returns the median. For an even number of values, returns the upper of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let durations = Percentiles::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!([1, 50, 99, 100].map(|percent| durations.at(percent).as_millis()), [1, 50, 99, 100]);
        assert_eq!(Percentiles::of(Vec::new()).at(50), Duration::ZERO);
    }
}
