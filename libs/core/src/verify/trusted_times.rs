//! The trusted times of the trees that the log had, and what they say of the time at which a leaf was added.

/// A tree that the log had: its size, and the earliest and the latest trusted time on notes of it, in seconds since
/// 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct DatedTree {
    pub(super) size: u64,
    pub(super) earliest: u64,
    pub(super) latest: u64,
}

/// The trusted times of all trees, for lookup by log index.
#[derive(Debug)]
pub(super) struct TrustedTimes {
    /// By ascending size: the earliest time of a tree of this size or more.
    earliest_from: Vec<(u64, u64)>,
    /// By ascending size: the latest time of a tree of this size or less.
    latest_up_to: Vec<(u64, u64)>,
}

impl TrustedTimes {
    /// Creates the lookup from trees in any order.
    pub(super) fn of(trees: &[DatedTree]) -> Self {
        let mut earliest_from: Vec<_> = trees.iter().map(|tree| (tree.size, tree.earliest)).collect();
        earliest_from.sort_unstable();
        let mut earliest = u64::MAX;
        for (_, time) in earliest_from.iter_mut().rev() {
            earliest = earliest.min(*time);
            *time = earliest;
        }
        let mut latest_up_to: Vec<_> = trees.iter().map(|tree| (tree.size, tree.latest)).collect();
        latest_up_to.sort_unstable();
        let mut latest = 0;
        for (_, time) in &mut latest_up_to {
            latest = latest.max(*time);
            *time = latest;
        }
        Self { earliest_from, latest_up_to }
    }

    /// Returns the earliest time of a tree that contains the leaf.
    pub(super) fn first_with(&self, index: u64) -> Option<u64> {
        let first_covering = self.earliest_from.partition_point(|(size, _)| *size <= index);
        self.earliest_from.get(first_covering).map(|(_, time)| *time)
    }

    /// Returns the latest time of a tree that does not contain the leaf.
    pub(super) fn last_without(&self, index: u64) -> Option<u64> {
        let first_covering = self.latest_up_to.partition_point(|(size, _)| *size <= index);
        self.latest_up_to.get(first_covering.checked_sub(1)?).map(|(_, time)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_was_added_between_the_last_tree_without_it_and_the_first_with_it() {
        let tree = |size, earliest, latest| DatedTree { size, earliest, latest };
        let times = TrustedTimes::of(&[tree(9, 50, 60), tree(3, 10, 45), tree(5, 40, 40)]);
        assert_eq!(
            [2, 3, 4, 5, 8, 9].map(|index| times.first_with(index)),
            [Some(10), Some(40), Some(40), Some(50), Some(50), None]
        );
        // The tree of size 3 was cosigned again at 45, after the tree of size 5 was first cosigned at 40. Both times
        // count.
        assert_eq!(
            [2, 3, 4, 5, 9].map(|index| times.last_without(index)),
            [None, Some(45), Some(45), Some(45), Some(60)]
        );
    }
}
