//! How the connections of a process are used, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How the connections of one lane are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneUsage {
    /// The highest number of connections that the lane opens.
    pub max: u32,
    /// The open connections.
    pub open: u32,
    /// The open connections that are not lent.
    pub idle: u32,
    /// How often a caller has asked for a connection. Streamed reads are not counted.
    pub waits: u64,
    /// The time that these callers have waited in all.
    pub waited: Duration,
    /// How many of them got no connection: before their deadline, or because the database was unreachable.
    pub failed_waits: u64,
}

/// Counts the callers that waited for a connection of a lane.
#[derive(Debug, Default)]
pub(super) struct Waits {
    all: AtomicU64,
    failed: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Waits {
    /// Returns all waits, the failed ones, and the time in all.
    pub(super) fn read(&self) -> (u64, u64, Duration) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.all), read(&self.failed), Duration::from_nanos(read(&self.nanoseconds)))
    }

    /// Begins to wait. The wait has failed if it is dropped before [`Wait::lent`]: then an error ended it, or a deadline of the
    /// operation that it was a part of.
    pub(super) fn begin(&self) -> Wait<'_> {
        Wait { waits: self, since: Instant::now(), is_lent: false }
    }
}

/// A caller that waits for a connection.
pub(super) struct Wait<'a> {
    waits: &'a Waits,
    since: Instant,
    is_lent: bool,
}

impl Wait<'_> {
    /// Ends the wait with a connection.
    pub(super) fn lent(mut self) {
        self.is_lent = true;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let nanoseconds = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waits.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.waits.all.fetch_add(1, Ordering::Relaxed);
        if !self.is_lent {
            self.waits.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
