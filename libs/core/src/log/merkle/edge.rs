//! Appending to a tree of which only the right edge is known.
//!
//! A tree of `size` leaves consists of one complete subtree for each bit that is set in `size`, largest first (RFC 6962
//! section 2.1 splits at the largest power of two below the size, again and again). Appending a leaf works like
//! incrementing a binary number: for each trailing 1 bit of `size`, the new subtree is the right half of a larger one.

use crate::hash::Hash;
use crate::log::MAX_SIZE;
use crate::log::merkle::{Node, node_hash, root_over};

/// The hashes of the complete subtrees of which a tree consists, from the left. They suffice to append leaves and to
/// compute the root. Their number is the number of bits set in the size, at most 53.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RightEdge {
    size: u64,
    hashes: Vec<Hash>,
}

/// The error of appending to a tree that already has [`MAX_SIZE`] leaves, or would exceed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log is full: it holds at most 2^53 - 1 leaves")]
pub struct TreeFull;

impl RightEdge {
    /// Returns the edge of the empty tree.
    pub fn empty() -> Self {
        Self::default()
    }

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
        // The carry of the increment: each trailing 1 bit is a complete left subtree whose right half is now complete.
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
