//! The nodes of which inclusion and consistency proofs consist (RFC 6962 sections 2.1.1 and 2.1.2).
//!
//! Both proofs are sibling hashes on a path to the root. A left sibling is always a complete subtree. A right sibling
//! may reach to the end of the tree and be incomplete; its hash is then computed from the complete subtrees of which it
//! consists.

use crate::hash::Hash;
use crate::log::merkle::{Node, root_over};

/// The nodes of which a proof consists. The caller reads the hashes of [`ProofNodes::nodes`] from storage and passes
/// them to [`ProofNodes::prove`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofNodes {
    /// For each hash of the proof, the complete subtrees that it covers: one, or several at the right end of the tree.
    hashes: Vec<Vec<Node>>,
}

/// The error of a proof for which the hash of a node is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash of node {} of level {} is missing", .0.index, .0.level)]
pub struct MissingNode(pub Node);

impl ProofNodes {
    /// Returns the nodes of the proof that leaf `index` is in the tree of `size` leaves (RFC 6962 section 2.1.1).
    /// Returns `None` if `index` is not below `size`.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        (index < size).then(|| Self { hashes: path(Node { level: 0, index }, size) })
    }

    /// Returns the nodes of the proof that the tree of `old` leaves is a prefix of the tree of `size` leaves (RFC 6962
    /// section 2.1.2). Returns `None` if `old` exceeds `size`. If `old` is 0 or equals `size`, the proof is empty.
    pub fn consistency(old: u64, size: u64) -> Option<Self> {
        if old > size {
            return None;
        }
        if old == 0 || old == size {
            return Some(Self { hashes: Vec::new() });
        }
        let level = u8::try_from(old.trailing_zeros()).expect("a u64 other than 0 has at most 63 trailing zeros");
        // The proof starts at the last complete subtree of the old tree. If that is the whole old tree, its hash is the
        // old root, which the verifier has already, and is left out.
        let last = Node { level, index: (old >> level) - 1 };
        let first = Some(vec![last]).filter(|_| last.index > 0);
        Some(Self { hashes: first.into_iter().chain(path(last, size)).collect() })
    }

    /// Returns the nodes whose hashes the proof needs, each once.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.hashes.iter().flatten().copied()
    }

    /// Computes the proof, from the leaf upwards. `hash_of` returns the hash of a node, or `None` if it is not
    /// available.
    pub fn prove(&self, mut hash_of: impl FnMut(Node) -> Option<Hash>) -> Result<Vec<Hash>, MissingNode> {
        let mut hash_over = |nodes: &Vec<Node>| {
            let hashes = nodes.iter().map(|node| hash_of(*node).ok_or(MissingNode(*node)));
            hashes.collect::<Result<Vec<_>, _>>().map(|hashes| root_over(&hashes))
        };
        self.hashes.iter().map(&mut hash_over).collect()
    }
}

/// Returns the siblings on the path from a node to the root of the tree of `size` leaves, each as complete subtrees.
fn path(from: Node, size: u64) -> Vec<Vec<Node>> {
    let (mut node, mut siblings) = (from, Vec::new());
    // `last` is the index of the last subtree of the level, complete or not. At the root it is 0.
    while let Some(last @ 1..) = (size - 1).checked_shr(node.level.into()) {
        let sibling = node.index ^ 1;
        // A last subtree without a right sibling has the same hash as its parent.
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

    /// The hashes of a proof by the numbers of `ct-merkle`: 2 · (first leaf) + (leaves, rounded up to a power of two) −
    /// 1.
    fn numbers(proof: &ProofNodes) -> Vec<u64> {
        let first = |node: &Node| node.index << node.level;
        let number = |nodes: &Vec<Node>| {
            let leaves: u64 = nodes.iter().map(|node| 1 << node.level).sum();
            for pair in nodes.windows(2) {
                assert!(pair[0].level > pair[1].level && first(&pair[0]) + (1 << pair[0].level) == first(&pair[1]));
            }
            2 * first(&nodes[0]) + leaves.next_power_of_two() - 1
        };
        proof.hashes.iter().map(number).collect()
    }

    proptest! {
        /// Covers trees that do not fit in memory, up to the largest size that `ct-merkle` supports.
        #[test]
        fn proofs_consist_of_the_nodes_that_ct_merkle_names(one in 1..=1_u64 << 63, shift in 0..64, other in any::<u64>()) {
            let size = u64::max(1, one >> shift);
            let (index, old) = (other % size, other % size + 1);
            prop_assert_eq!(
                numbers(&ProofNodes::inclusion(index, size).unwrap()),
                indices_for_inclusion_proof(size, index)
            );
            prop_assert_eq!(
                numbers(&ProofNodes::consistency(old, size).unwrap()),
                indices_for_consistency_proof(old, size - old)
            );
        }
    }
}
