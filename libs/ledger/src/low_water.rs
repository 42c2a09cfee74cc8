//! The low-water bound of a queue: the id at which a reading of the outbox or of the seal queue starts
//! (`docs/spec/protocol.md#queues-low-water`).
//!
//! Below the bound there are no rows and none can appear, so that readings skip the dead rows of a queue that moves fast. The
//! bound may pass an id only when every transaction that drew this or a lower id is finished, and none of their rows is left.
//!
//! Whether they are finished is learnt from two readings of the writers, that is, of the transactions that may be writing to
//! the queue ([`Outbox::writers`](crate::outbox::Outbox::writers)). An id that has been seen was drawn before the first
//! reading, and so was each lower id: by a transaction that was finished, or is among the writers of that reading. Once none of
//! those is among the writers of a later reading, all of them are finished, and a page that is read after that shows the rows
//! that they left.
//!
//! The bound is kept in memory. It ends with the lease of a partition, or with the connection to the server. From time to time
//! a queue is read without the bound, no sooner than [`next_unbounded`] allows.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::PgConnection;

use crate::LedgerError;

/// The share of time that readings without the bound may take is 1 in this number.
const UNBOUNDED_SHARE: u32 = 20;

/// The low-water bound of a queue, or of one partition of it. Pure.
#[derive(Debug, Default)]
pub struct LowWater {
    bound: i64,
    /// The highest id that was seen.
    highest_seen: i64,
    /// All transactions that drew an id up to this one are finished.
    finished: i64,
    /// The writers of a reading that are not known to be finished, with the highest id that had been seen before it.
    unfinished: Option<(i64, HashSet<String>)>,
}

impl LowWater {
    /// Returns the id at which a scan starts.
    pub fn bound(&self) -> i64 {
        self.bound
    }

    /// Records that an id was seen.
    pub fn on_seen(&mut self, id: i64) {
        self.highest_seen = self.highest_seen.max(id);
    }

    /// Returns how many ids a reading from the bound on passes before it meets an id that was not seen.
    pub fn distance(&self) -> u64 {
        self.highest_seen.saturating_sub(self.bound).try_into().unwrap_or(0)
    }

    /// Returns whether a reading of the writers could move the bound.
    pub fn needs_writers(&self) -> bool {
        self.highest_seen > self.finished
    }

    /// Returns whether the bound is as high as it can be until another id is seen.
    pub fn is_settled(&self) -> bool {
        !self.needs_writers() && self.bound > self.finished
    }

    /// Returns the highest id that was seen. Take it before reading the writers, and pass it to [`LowWater::on_writers`].
    pub fn highest_seen(&self) -> i64 {
        self.highest_seen
    }

    /// Records a reading of the writers, before which ids up to `highest_seen` had been seen.
    pub fn on_writers(&mut self, highest_seen: i64, writers: Vec<String>) {
        let writers: HashSet<String> = writers.into_iter().collect();
        if let Some((up_to, unfinished)) = &mut self.unfinished {
            unfinished.retain(|writer| writers.contains(writer));
            if !unfinished.is_empty() {
                return;
            }
            self.finished = self.finished.max(*up_to);
        }
        if writers.is_empty() {
            self.finished = self.finished.max(highest_seen);
            self.unfinished = None;
        } else {
            self.unfinished = Some((highest_seen, writers));
        }
    }

    /// Records the first page of a scan, which was read after the last reading of the writers. `lowest` is its lowest row.
    /// `unbounded` says that the scan started at the lowest possible id, not at the bound.
    pub fn on_first_page(&mut self, lowest: Option<i64>, unbounded: bool) {
        let reached = lowest.unwrap_or(i64::MAX).min(self.finished + 1);
        // An unbounded scan can find a row below the bound: after a failover, Postgres draws some ids again.
        self.bound = if unbounded { reached } else { self.bound.max(reached) };
    }
}

/// Returns the pause before the next reading without the bound: `interval`, or longer if the last reading took long because a
/// transaction elsewhere keeps dead rows from being removed. Readings without the bound take at most a twentieth of the time.
pub fn next_unbounded(interval: Duration, last_reading: Duration) -> Duration {
    interval.max(last_reading.saturating_mul(UNBOUNDED_SHARE))
}

/// Returns the transactions that may be writing to a queue now, by names that no later transaction gets. `table` is
/// `sealbus.outbox` or `sealbus.seal_queue`.
///
/// A transaction that writes a row holds the table's lock from before the row's id is drawn until the transaction has ended and
/// is visible. Once none of these names appears in a later call, every id that was drawn before this call belongs to an ended
/// transaction: a snapshot taken from then on shows the row, or the row will never exist.
pub(crate) async fn writers(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, LedgerError> {
    let writers = sqlx::query_scalar!(
        r#"-- queue_writers
        SELECT DISTINCT virtualtransaction AS "writer!" FROM pg_locks
        WHERE locktype = 'relation' AND relation = $1::text::regclass AND mode = 'RowExclusiveLock' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"#,
        table,
    );
    Ok(writers.fetch_all(connection).await?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_bound_passes_only_ids_of_finished_transactions() {
        let mut low_water = LowWater::default();
        // Id 10 was seen. The transactions that drew ids 1 to 9 may still be writing.
        low_water.on_seen(10);
        low_water.on_writers(low_water.highest_seen(), names(&["3/17", "4/2"]));
        low_water.on_first_page(None, false);
        assert_eq!(low_water.bound(), 1);
        low_water.on_writers(10, names(&["4/2", "5/8"]));
        low_water.on_first_page(None, false);
        assert_eq!(low_water.bound(), 1, "the bound passed ids of a transaction that is still writing");
        low_water.on_writers(10, names(&["5/8"]));
        low_water.on_first_page(Some(7), false);
        assert_eq!(low_water.bound(), 7, "the bound passed a row");
        low_water.on_first_page(None, false);
        assert_eq!(low_water.bound(), 11);
        assert!(!low_water.needs_writers());
    }

    #[test]
    fn an_unbounded_scan_moves_the_bound_back_to_a_row_below_it() {
        let mut low_water = LowWater::default();
        low_water.on_seen(100);
        low_water.on_writers(100, Vec::new());
        low_water.on_first_page(None, false);
        assert_eq!(low_water.bound(), 101);
        low_water.on_first_page(Some(40), true);
        assert_eq!(low_water.bound(), 40);
    }

    #[test]
    fn readings_without_the_bound_take_at_most_a_twentieth_of_the_time() {
        let minute = Duration::from_mins(1);
        assert_eq!(next_unbounded(minute, Duration::from_millis(3)), minute);
        assert_eq!(next_unbounded(minute, Duration::from_secs(10)), Duration::from_secs(200));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Draw(usize),
        Commit(usize),
        Abort(usize),
        ReadWriters,
        Scan,
        DeleteLowest,
    }

    fn step() -> impl Strategy<Value = Step> {
        let writer = 0_usize..4;
        prop_oneof![
            4 => writer.clone().prop_map(Step::Draw),
            2 => writer.clone().prop_map(Step::Commit),
            1 => writer.prop_map(Step::Abort),
            2 => Just(Step::ReadWriters),
            3 => Just(Step::Scan),
            2 => Just(Step::DeleteLowest),
        ]
    }

    proptest! {
        #[test]
        fn no_row_ever_appears_below_the_bound(steps in prop::collection::vec(step(), 0..200)) {
            let mut low_water = LowWater::default();
            // For each writer: the number of its finished transactions, and the ids that its open one has drawn.
            let mut writers: Vec<(u32, Vec<i64>)> = vec![(0, Vec::new()); 4];
            let mut rows = BTreeSet::new();
            let mut last = 0;
            for step in steps {
                match step {
                    Step::Draw(writer) => {
                        last += 1;
                        writers[writer].1.push(last);
                    }
                    Step::Commit(writer) => {
                        let drawn = std::mem::take(&mut writers[writer].1);
                        writers[writer].0 += 1;
                        prop_assert!(drawn.iter().all(|id| *id >= low_water.bound()), "the rows {:?} appeared below the bound {}", drawn, low_water.bound());
                        rows.extend(drawn);
                    }
                    Step::Abort(writer) => {
                        writers[writer].0 += 1;
                        writers[writer].1.clear();
                    }
                    Step::ReadWriters => {
                        let seen = low_water.highest_seen();
                        let open = writers.iter().enumerate().filter(|(_, (_, drawn))| !drawn.is_empty());
                        low_water.on_writers(seen, open.map(|(writer, (transaction, _))| format!("{writer}/{transaction}")).collect());
                    }
                    Step::Scan => {
                        let page: Vec<i64> = rows.range(low_water.bound()..).copied().collect();
                        for id in &page {
                            low_water.on_seen(*id);
                        }
                        low_water.on_first_page(page.first().copied(), false);
                    }
                    Step::DeleteLowest => {
                        rows.pop_first();
                    }
                }
                prop_assert!(rows.first().is_none_or(|first| *first >= low_water.bound()));
            }
        }
    }
}
