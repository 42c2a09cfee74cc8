//! The clock.
//!
//! This crate never asks what time it is. A caller passes the time in, or passes a [`Clock`] where the time is needed again
//! and again. `sealbus_runtime::clock::SystemClock` is the clock of a process; tests use clocks that they set.

use crate::timestamp::Timestamp;

/// Tells the current time.
pub trait Clock: Send + Sync {
    /// Returns the current time in UTC.
    fn now(&self) -> Timestamp;

    /// Returns the current time in whole seconds since 1970, as notes and cosignatures state it; 0 before 1970.
    fn unix_seconds(&self) -> u64 {
        u64::try_from(self.now().micros() / 1_000_000).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0).expect("a year that a timestamp can hold")
        }
    }

    #[test]
    fn seconds_are_cut_off_and_never_negative() {
        assert_eq!(At(1_700_000_000_999_999).unix_seconds(), 1_700_000_000);
        assert_eq!(At(999_999).unix_seconds(), 0);
        assert_eq!(At(-5_000_000).unix_seconds(), 0);
    }
}
