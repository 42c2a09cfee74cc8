//! The trusted times of the trees that the log had, and what they say of the time at which a leaf was added.

/// A tree that the log had: its size, and the earliest and the latest trusted time on notes of it, in seconds since
/// 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct DatedTree {
    pub(super) size: u64,
    pub(super) earliest: u64,
    pub(super) latest: u64,
}

/// The trusted times of all trees, by ascending size. Each `earliest` is that of all trees of its size or more.
#[derive(Debug)]
pub(super) struct TrustedTimes(Vec<DatedTree>);

impl DatedTree {
    /// Returns the tree with the times of two notes of it.
    pub(super) fn merged(self, other: Self) -> Self {
        Self { earliest: self.earliest.min(other.earliest), latest: self.latest.max(other.latest), ..self }
    }
}

impl TrustedTimes {
    /// Creates the lookup from trees in any order.
    pub(super) fn of(mut trees: Vec<DatedTree>) -> Self {
        trees.sort_unstable();
        let mut earliest = u64::MAX;
        for tree in trees.iter_mut().rev() {
            earliest = earliest.min(tree.earliest);
            tree.earliest = earliest;
        }
        Self(trees)
    }

    /// Returns the earliest time of a tree that contains the leaf.
    pub(super) fn first_with(&self, index: u64) -> Option<u64> {
        let first_covering = self.0.partition_point(|tree| tree.size <= index);
        self.0.get(first_covering).map(|tree| tree.earliest)
    }

    /// Returns the latest time of a tree that does not contain the leaf. It visits all these trees.
    pub(super) fn last_without(&self, index: u64) -> Option<u64> {
        self.0.iter().take_while(|tree| tree.size <= index).map(|tree| tree.latest).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_the_earliest_and_the_latest_time_of_its_notes() {
        let [one, other] = [(10, 20), (5, 30)].map(|(earliest, latest)| DatedTree { size: 9, earliest, latest });
        let both = DatedTree { size: 9, earliest: 5, latest: 30 };
        assert_eq!([one.merged(other), other.merged(one)], [both, both]);
    }

    #[test]
    fn a_leaf_was_added_between_the_last_tree_without_it_and_the_first_with_it() {
        let tree = |size, earliest, latest| DatedTree { size, earliest, latest };
        let times = TrustedTimes::of(vec![tree(9, 50, 60), tree(3, 10, 45), tree(5, 40, 40)]);
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
