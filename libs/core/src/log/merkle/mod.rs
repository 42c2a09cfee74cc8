//! The Merkle tree of RFC 6962, section 2.1, over SHA-256.
//!
//! The tree is never in memory as a whole. [`RightEdge`] holds the O(log n) hashes that appending needs. [`ProofNodes`]
//! lists the nodes of which a proof consists, so that a caller can fetch their hashes. [`verify_inclusion`] and
//! [`verify_consistency`] verify a proof. No size, index or proof makes a function of this module panic.

mod edge;
mod proof_nodes;
mod verify;

use sha2::{Digest, Sha256};

pub use self::edge::{RightEdge, TreeFull};
pub use self::proof_nodes::{MissingNode, ProofNodes};
pub use self::verify::{ProofError, verify_consistency, verify_inclusion};
use crate::hash::Hash;

/// Returns the hash of a leaf, `SHA-256(0x00 || leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash::of_leaf(leaf)
}

/// Returns the hash of an inner node, `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new_with_prefix([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Returns the root of the empty tree, the SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash::of(b"")
}

/// A complete subtree of 2^`level` leaves.
///
/// The hash of a complete subtree does not change when the tree grows. Therefore only hashes of complete subtrees are stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    /// The height of the subtree: 0 for a leaf, at most 63.
    pub level: u8,
    /// The position among the subtrees of this level, from 0. The first leaf is leaf `index` · 2^`level`.
    pub index: u64,
}

impl Node {
    /// Divides the leaves `start..end` into complete subtrees, largest first.
    ///
    /// The largest power of two that is at most `end - start` has to divide `start`. This holds for a whole tree and
    /// for each right sibling on a path to the root.
    fn covering(start: u64, end: u64) -> impl Iterator<Item = Self> {
        let mut start = start;
        std::iter::from_fn(move || {
            let level = end.checked_sub(start)?.checked_ilog2()?;
            let node =
                Self { level: u8::try_from(level).expect("a logarithm of a u64 is below 64"), index: start >> level };
            start += 1 << level;
            Some(node)
        })
    }

    fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index >> 1 }
    }
}

/// Returns the root over adjacent complete subtrees of decreasing size, as [`Node::covering`] lists them (RFC 6962
/// section 2.1).
fn root_over(hashes: &[Hash]) -> Hash {
    let root = hashes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    root.unwrap_or_else(empty_root)
}
