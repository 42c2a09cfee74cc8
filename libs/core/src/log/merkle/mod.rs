//! The Merkle tree of RFC 6962, section 2.1, over SHA-256.
//!
//! The tree is never in memory as a whole. [`RightEdge`] holds the O(log n) hashes that appending needs. [`ProofNodes`]
//! lists the nodes of which a proof consists, so that a caller can fetch their hashes. [`verify_inclusion`] and
//! [`verify_consistency`] verify a proof. No size, index or proof makes a function of this module panic.

mod proof_nodes;
mod verify;

use sha2::{Digest, Sha256};

pub use self::proof_nodes::{MissingNode, ProofNodes};
pub use self::verify::{ProofError, verify_consistency, verify_inclusion};
use crate::hash::Hash;
use crate::log::MAX_SIZE;

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

/// The hashes of the complete subtrees of which a tree consists, from the left. They suffice to append leaves and to
/// compute the root. The default is the edge of the empty tree.
///
/// A tree of `size` leaves consists of one complete subtree for each bit that is set in `size`, at most 53, largest first
/// (RFC 6962 section 2.1 splits at the largest power of two below the size, again and again). Appending a leaf works like
/// incrementing a binary number: for each trailing 1 bit of `size`, the new subtree is the right half of a larger one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RightEdge {
    size: u64,
    hashes: Vec<Hash>,
}

/// The error of appending to a tree that already has [`MAX_SIZE`] leaves, or would exceed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log is full: it holds at most 2^53 - 1 leaves")]
pub struct TreeFull;

impl Node {
    /// Divides the leaves `start..end` into complete subtrees, largest first.
    ///
    /// The largest power of two that is at most `end - start` has to divide `start`. This holds for a whole tree and
    /// for each right sibling on a path to the root.
    fn covering(mut start: u64, end: u64) -> impl Iterator<Item = Self> {
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

impl RightEdge {
    /// Returns the nodes whose hashes form the edge of a tree of `size` leaves, in the order that [`RightEdge::new`]
    /// expects.
    pub fn nodes(size: u64) -> impl Iterator<Item = Node> {
        Node::covering(0, size)
    }

    /// Creates the edge of a tree of `size` leaves from the hashes of [`RightEdge::nodes`].
    ///
    /// Returns `None` if their number is wrong or `size` exceeds [`MAX_SIZE`]. The hashes themselves are not checked:
    /// compare [`RightEdge::root`] with a trusted root.
    pub fn new(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        let fits = size <= MAX_SIZE && hashes.len() == size.count_ones() as usize;
        fits.then_some(Self { size, hashes })
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> Hash {
        root_over(&self.hashes)
    }

    /// Appends a leaf by its hash.
    ///
    /// Calls `completed` for each subtree that this leaf completes, from the leaf upwards, with its hash. Every
    /// complete subtree of a tree is thus reported exactly once while the tree grows.
    pub fn append(&mut self, leaf_hash: Hash, mut completed: impl FnMut(Node, Hash)) -> Result<(), TreeFull> {
        if self.size >= MAX_SIZE {
            return Err(TreeFull);
        }
        let (mut node, mut hash) = (Node { level: 0, index: self.size }, leaf_hash);
        completed(node, hash);
        // The carry of the increment.
        for _ in 0..self.size.trailing_ones() {
            let left = self.hashes.pop().expect("the edge has one hash for each bit set in the size");
            (node, hash) = (node.parent(), node_hash(&left, &hash));
            completed(node, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
        Ok(())
    }
}

/// Returns the root over adjacent complete subtrees of decreasing size, as [`Node::covering`] lists them (RFC 6962
/// section 2.1).
fn root_over(hashes: &[Hash]) -> Hash {
    let root = hashes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    root.unwrap_or_else(empty_root)
}
