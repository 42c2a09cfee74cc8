//! The low-water bound: where in a partition's outbox a look has to begin (PROTOCOL, Relay, rule 3).
//!
//! Below it no row stands and none can appear, so that the dead rows of a queue that moves fast need not be walked over
//! again and again. It may pass an id only when every transaction that drew a lower one is over, and when none of their rows
//! is left. The first is learnt by asking twice who writes: an id that has been seen was drawn before, and each lower one
//! before it, by a transaction that is over or among the writers named now. Once none of those is named any more, all are
//! over; a page read after that shows what they left. It lives in memory, and dies with the partition's epoch.

use std::collections::HashSet;

/// The bound of one partition.
#[derive(Debug, Default)]
pub(crate) struct LowWater {
    bound: i64,
    /// The highest id that was ever seen.
    seen: i64,
    /// All transactions that drew an id up to this one are over.
    finished: i64,
    waits_for: Option<(i64, HashSet<String>)>,
}

impl LowWater {
    /// Where to begin.
    pub(crate) fn bound(&self) -> i64 {
        self.bound
    }

    /// An id was seen, so it has been drawn.
    pub(crate) fn saw(&mut self, id: i64) {
        self.seen = self.seen.max(id);
    }

    /// Whether asking for the writers could move the bound at all.
    pub(crate) fn wants_writers(&self) -> bool {
        self.seen > self.finished
    }

    /// The highest id seen so far: to be taken before the writers are asked for, and given with their names.
    pub(crate) fn seen(&self) -> i64 {
        self.seen
    }

    /// The writers at a moment by which `seen` had been drawn.
    pub(crate) fn writers(&mut self, seen: i64, names: Vec<String>) {
        let names: HashSet<String> = names.into_iter().collect();
        if let Some((up_to, waited)) = &mut self.waits_for {
            waited.retain(|name| names.contains(name));
            if !waited.is_empty() {
                return;
            }
            self.finished = self.finished.max(*up_to);
        }
        if names.is_empty() {
            self.finished = self.finished.max(seen);
            self.waits_for = None;
        } else {
            self.waits_for = Some((seen, names));
        }
    }

    /// A page was read, after all that is known here, from the bound on or, `unbounded`, from the outbox's start; `first`
    /// is the lowest row that it showed.
    pub(crate) fn read(&mut self, first: Option<i64>, unbounded: bool) {
        let reached = first.unwrap_or(i64::MAX).min(self.finished + 1);
        // A row below the bound: after a failover ids are drawn anew.
        self.bound = if unbounded { reached } else { self.bound.max(reached) };
    }
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
    fn passes_finished_transactions_only() {
        let mut water = LowWater::default();
        // Ids 1 to 9 were drawn, 10 was seen committed; who drew 1 to 9 may still be writing.
        water.saw(10);
        water.writers(water.seen(), names(&["3/17", "4/2"]));
        water.read(None, false);
        assert_eq!(water.bound(), 1);
        water.writers(10, names(&["4/2", "5/8"]));
        water.read(None, false);
        assert_eq!(water.bound(), 1, "4/2 is writing still");
        water.writers(10, names(&["5/8"]));
        water.read(Some(7), false);
        assert_eq!(water.bound(), 7, "a row is left");
        water.read(None, false);
        assert_eq!(water.bound(), 11);
        assert!(!water.wants_writers());
    }

    #[test]
    fn goes_back_for_a_row_below_it() {
        let mut water = LowWater::default();
        water.saw(100);
        water.writers(100, Vec::new());
        water.read(None, false);
        assert_eq!(water.bound(), 101);
        water.read(Some(40), true);
        assert_eq!(water.bound(), 40);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Draw(usize),
        Commit(usize),
        Abort(usize),
        Ask,
        Look,
        DeleteLowest,
    }

    fn step() -> impl Strategy<Value = Step> {
        let writer = 0_usize..4;
        prop_oneof![
            4 => writer.clone().prop_map(Step::Draw),
            2 => writer.clone().prop_map(Step::Commit),
            1 => writer.prop_map(Step::Abort),
            2 => Just(Step::Ask),
            3 => Just(Step::Look),
            2 => Just(Step::DeleteLowest),
        ]
    }

    proptest! {
        #[test]
        fn no_row_ever_appears_below_it(steps in prop::collection::vec(step(), 0..200)) {
            let mut water = LowWater::default();
            // Per writer: how many transactions it has had, and the ids that its open one has drawn.
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
                        prop_assert!(drawn.iter().all(|id| *id >= water.bound()), "{:?} below {}", drawn, water.bound());
                        rows.extend(drawn);
                    }
                    Step::Abort(writer) => {
                        writers[writer].0 += 1;
                        writers[writer].1.clear();
                    }
                    Step::Ask => {
                        let seen = water.seen();
                        let open = writers.iter().enumerate().filter(|(_, (_, drawn))| !drawn.is_empty());
                        water.writers(seen, open.map(|(writer, (transaction, _))| format!("{writer}/{transaction}")).collect());
                    }
                    Step::Look => {
                        let page: Vec<i64> = rows.range(water.bound()..).copied().collect();
                        for id in &page {
                            water.saw(*id);
                        }
                        water.read(page.first().copied(), false);
                    }
                    Step::DeleteLowest => {
                        rows.pop_first();
                    }
                }
                prop_assert!(rows.first().is_none_or(|first| *first >= water.bound()));
            }
        }
    }
}
