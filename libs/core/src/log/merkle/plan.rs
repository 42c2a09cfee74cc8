//! Which hashes a proof is made of, and the proof made of them.

use crate::hash::Hash;
use crate::log::merkle::{Node, join};

/// What a proof is made of. The caller looks up [`ProofPlan::nodes`], from wherever they are stored, and hands their hashes to
/// [`ProofPlan::prove`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofPlan {
    /// For each hash of the proof the full subtrees that it is over: one, but for the tree's ragged right side.
    hashes: Vec<Vec<Node>>,
}

/// A proof could not be made: the hash of this node was not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash of node {} of level {} is missing", .0.index, .0.level)]
pub struct MissingNode(pub Node);

impl ProofPlan {
    /// The plan of the proof that leaf `index` is in the tree of `size` leaves (RFC 6962, section 2.1.1); `None` where the
    /// tree has no such leaf.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        (index < size).then(|| Self { hashes: path(Node { level: 0, index }, size) })
    }

    /// The plan of the proof that the tree of `size` leaves continues the one of `old` (RFC 6962, section 2.1.2); `None` where
    /// `old` is larger. From size 0, and to the same size, the proof is empty.
    pub fn consistency(old: u64, size: u64) -> Option<Self> {
        if old > size {
            return None;
        }
        if old == 0 || old == size {
            return Some(Self { hashes: Vec::new() });
        }
        let level = u8::try_from(old.trailing_zeros()).expect("a u64 has 64 bits");
        // The last full subtree of the old tree. Where it is the whole of it, its hash is the old root, which who verifies has.
        let last = Node { level, index: (old >> level) - 1 };
        let known = last.index == 0;
        let mut hashes = if known { Vec::new() } else { vec![vec![last]] };
        hashes.append(&mut path(last, size));
        Some(Self { hashes })
    }

    /// The nodes whose hashes the proof needs, each once.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.hashes.iter().flatten().copied()
    }

    /// The proof, from the leaf's side up.
    pub fn prove(&self, mut hash_of: impl FnMut(Node) -> Option<Hash>) -> Result<Vec<Hash>, MissingNode> {
        let mut over = |nodes: &Vec<Node>| {
            let hashes = nodes.iter().map(|node| hash_of(*node).ok_or(MissingNode(*node)));
            hashes.collect::<Result<Vec<_>, _>>().map(|hashes| join(&hashes))
        };
        self.hashes.iter().map(&mut over).collect()
    }
}

/// The siblings on the way from a node up to the root of the tree of `size` leaves.
fn path(from: Node, size: u64) -> Vec<Vec<Node>> {
    let (mut node, mut siblings) = (from, Vec::new());
    // The last subtree of each level, full or not; the tree's root is where it is the first one too.
    while let Some(last @ 1..) = (size - 1).checked_shr(node.level.into()) {
        let sibling = node.index ^ 1;
        // A last subtree without a sibling to its right is its parent's hash already.
        if sibling <= last {
            let start = sibling << node.level;
            let end = size.min(start.saturating_add(1 << node.level));
            siblings.push(Node::covering(start, end).collect());
        }
        node = node.parent();
    }
    siblings
}

#[cfg(test)]
mod tests {
    use ct_merkle::{indices_for_consistency_proof, indices_for_inclusion_proof};
    use proptest::prelude::*;

    use super::*;

    /// The hashes of a plan by the numbers that `ct-merkle` gives them: 2 · (first leaf) + (leaves, up to a power of two) − 1.
    fn numbers(plan: &ProofPlan) -> Vec<u64> {
        let first = |node: &Node| node.index << node.level;
        let number = |nodes: &Vec<Node>| {
            let leaves: u64 = nodes.iter().map(|node| 1 << node.level).sum();
            for pair in nodes.windows(2) {
                assert!(pair[0].level > pair[1].level && first(&pair[0]) + (1 << pair[0].level) == first(&pair[1]));
            }
            2 * first(&nodes[0]) + leaves.next_power_of_two() - 1
        };
        plan.hashes.iter().map(number).collect()
    }

    proptest! {
        /// Beyond the trees that fit in memory, up to the largest that the second implementation can count.
        #[test]
        fn plans_name_the_nodes_that_another_implementation_names(one in 1..=1_u64 << 63, shift in 0..64, other in any::<u64>()) {
            let size = u64::max(1, one >> shift);
            let (index, old) = (other % size, other % size + 1);
            prop_assert_eq!(
                numbers(&ProofPlan::inclusion(index, size).unwrap()),
                indices_for_inclusion_proof(size, index)
            );
            prop_assert_eq!(
                numbers(&ProofPlan::consistency(old, size).unwrap()),
                indices_for_consistency_proof(old, size - old)
            );
        }
    }
}
