//! The Merkle tree of RFC 6962, section 2.1, over SHA-256.
//!
//! A tree is never held as a whole. [`RightEdge`] is the little that appending needs; [`ProofPlan`] says which hashes a proof
//! is made of, so that a caller can fetch them first; [`verify_inclusion`] and [`verify_consistency`] need the proof alone.
//! Everything is total: no size, index or proof makes it panic.

mod edge;
mod plan;
mod verify;

use sha2::{Digest, Sha256};

pub use self::edge::{RightEdge, TreeFull};
pub use self::plan::{MissingNode, ProofPlan};
pub use self::verify::{ProofError, verify_consistency, verify_inclusion};
use crate::hash::Hash;

/// The hash of a leaf: SHA-256 of a zero byte and the leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash(Sha256::new_with_prefix([0]).chain_update(leaf).finalize().into())
}

/// The hash of a node: SHA-256 of a one byte, its left half's hash and its right half's.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new_with_prefix([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash::of(b"")
}

/// A subtree of 2^`level` leaves, all of them there: the `index`-th of its level, counted from 0.
///
/// Its hash never changes however the tree grows, which is why these are what is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    /// 0 for a leaf, up to 63.
    pub level: u8,
    /// Its leaves are from `index` · 2^`level` on.
    pub index: u64,
}

impl Node {
    /// The subtrees, largest first, that make up the leaves from `start` to before `end`, where the largest power of two in
    /// their number divides `start`: a whole tree, or the part of a tree that lies right of a node.
    fn covering(start: u64, end: u64) -> impl Iterator<Item = Self> {
        let mut start = start;
        std::iter::from_fn(move || {
            let level = end.checked_sub(start)?.checked_ilog2()?;
            let node = Self { level: u8::try_from(level).expect("a u64 has 64 bits"), index: start >> level };
            start += 1 << level;
            Some(node)
        })
    }

    fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index >> 1 }
    }
}

/// The hash over neighbouring subtrees of falling size; of none, the empty tree's root.
fn join(hashes: &[Hash]) -> Hash {
    let joined = hashes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    joined.unwrap_or_else(empty_root)
}
