//! Verification of inclusion and consistency proofs by the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
//!
//! Both walk from a node to the root. The RFC calls the index of the node `fn` and the index of the last node of its
//! level `sn`; here they are [`Climb::node`] and [`Climb::last`].

use crate::hash::Hash;
use crate::log::merkle::{empty_root, node_hash};

/// Reasons why a proof is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size of the tree.
    #[error("the leaf index is not below the tree size")]
    Index,
    /// The old tree is larger than the new one.
    #[error("the old tree is larger than the new tree")]
    Sizes,
    /// The path ends before it reaches the root.
    #[error("the proof has too few hashes")]
    Short,
    /// Hashes are left over at the root.
    #[error("the proof has too many hashes")]
    Long,
    /// The computed root of the old tree differs from the given one.
    #[error("the proof does not lead to the root of the old tree")]
    OldRoot,
    /// The computed root differs from the given one.
    #[error("the proof does not lead to the root")]
    Root,
}

/// Verifies that a leaf has index `index` in the tree of `size` leaves with this root (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index);
    }
    let (mut climb, mut hash) = (Climb { node: index, last: size - 1 }, *leaf_hash);
    for sibling in proof {
        hash = if climb.next_is_right_child()? { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
    }
    climb.end()?;
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the tree of `old` leaves with `old_root` is a prefix of the tree of `size` leaves with `root` (RFC
/// 9162 section 2.1.4.2).
///
/// The empty tree is a prefix of every tree, and every tree is a prefix of itself. In these two cases the proof has to
/// be empty.
pub fn verify_consistency(old: u64, size: u64, proof: &[Hash], old_root: &Hash, root: &Hash) -> Result<(), ProofError> {
    if old > size {
        return Err(ProofError::Sizes);
    }
    if old == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRoot);
    }
    if old == 0 || old == size {
        return match proof {
            [_, ..] => Err(ProofError::Long),
            [] if old == size && old_root != root => Err(ProofError::Root),
            [] => Ok(()),
        };
    }
    // The proof starts at the last complete subtree of the old tree. If that is the whole old tree, its hash is the old
    // root and is not part of the proof.
    let (first, rest) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some(split) => split,
        None => return Err(ProofError::Short),
    };
    let level = old.trailing_zeros();
    let mut climb = Climb { node: (old - 1) >> level, last: (size - 1) >> level };
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in rest {
        if climb.next_is_right_child()? {
            old_hash = node_hash(sibling, &old_hash);
            hash = node_hash(sibling, &hash);
        } else {
            hash = node_hash(&hash, sibling);
        }
    }
    climb.end()?;
    match (old_hash == *old_root, hash == *root) {
        (true, true) => Ok(()),
        (false, _) => Err(ProofError::OldRoot),
        (true, false) => Err(ProofError::Root),
    }
}

/// A position on the path from a node to the root: the index of the node, and of the last node of its level. At the
/// root both are 0.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// Moves to the next node that has a sibling, whose hash is the next one of the proof, and then to their parent.
    /// Returns whether the node is the right child, so that its sibling is on the left.
    fn next_is_right_child(&mut self) -> Result<bool, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Long);
        }
        // The last node of a level has no sibling while its index is even: move up to the first level where it has one.
        if self.node == self.last {
            let levels_without_sibling = self.node.trailing_zeros();
            self.up(levels_without_sibling);
        }
        let is_right = self.node & 1 == 1;
        self.up(1);
        Ok(is_right)
    }

    /// Moves `levels` levels up.
    fn up(&mut self, levels: u32) {
        self.node >>= levels;
        self.last >>= levels;
    }

    /// Checks that the root is reached.
    fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Short) }
    }
}
