//! When trusted keys say that they saw the tree, and how large it was then.

/// A tree that trusted keys saw: its size, and when first and when last, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated {
    pub(super) size: u64,
    pub(super) earliest: u64,
    pub(super) latest: u64,
}

/// All that were seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// Sizes, rising, each with the earliest time of a tree of as much or more.
    first: Vec<(u64, u64)>,
    /// Sizes, rising, each with the latest time of a tree of as much or less.
    last: Vec<(u64, u64)>,
}

impl Seen {
    /// Of trees in any order.
    pub(super) fn of(trees: &[Dated]) -> Self {
        let mut first: Vec<_> = trees.iter().map(|tree| (tree.size, tree.earliest)).collect();
        first.sort_unstable();
        let mut earliest = u64::MAX;
        for (_, time) in first.iter_mut().rev() {
            earliest = earliest.min(*time);
            *time = earliest;
        }
        let mut last: Vec<_> = trees.iter().map(|tree| (tree.size, tree.latest)).collect();
        last.sort_unstable();
        let mut latest = 0;
        for (_, time) in &mut last {
            latest = latest.max(*time);
            *time = latest;
        }
        Self { first, last }
    }

    /// When first a tree with this leaf was seen.
    pub(super) fn first_with(&self, index: u64) -> Option<u64> {
        let covering = self.first.partition_point(|(size, _)| *size <= index);
        self.first.get(covering).map(|(_, time)| *time)
    }

    /// When last a tree without this leaf was seen.
    pub(super) fn last_without(&self, index: u64) -> Option<u64> {
        let covering = self.last.partition_point(|(size, _)| *size <= index);
        self.last.get(covering.checked_sub(1)?).map(|(_, time)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_came_between_the_last_tree_without_it_and_the_first_with_it() {
        let tree = |size, earliest, latest| Dated { size, earliest, latest };
        let seen = Seen::of(&[tree(9, 50, 60), tree(3, 10, 45), tree(5, 40, 40)]);
        assert_eq!(
            [2, 3, 4, 5, 8, 9].map(|index| seen.first_with(index)),
            [Some(10), Some(40), Some(40), Some(50), Some(50), None]
        );
        // The smaller tree was seen again later than the larger one was first: a leaf of index 4 came before 40, whoever lags.
        assert_eq!(
            [2, 3, 4, 5, 9].map(|index| seen.last_without(index)),
            [None, Some(45), Some(45), Some(45), Some(60)]
        );
    }
}
