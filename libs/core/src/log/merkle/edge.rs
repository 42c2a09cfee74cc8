//! Growing a tree, by its right edge alone.

use crate::hash::Hash;
use crate::log::MAX_SIZE;
use crate::log::merkle::{Node, join, node_hash};

/// All that has to be known of a tree to append to it and to tell its root: the hashes of the largest full subtrees that make
/// it up, from the left. There are as many as the size has bits set, so at most 53.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RightEdge {
    size: u64,
    hashes: Vec<Hash>,
}

/// The tree holds 2^53 − 1 leaves and takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log holds 2^53 - 1 leaves and takes no more")]
pub struct TreeFull;

impl RightEdge {
    /// The edge of the tree without leaves.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The nodes whose hashes are the edge of a tree of this size, in the order in which [`RightEdge::new`] takes them.
    pub fn nodes(size: u64) -> impl Iterator<Item = Node> {
        Node::covering(0, size)
    }

    /// The edge of a tree of this size, from the hashes of [`RightEdge::nodes`]. `None` where there are more or fewer, or the
    /// size is above [`MAX_SIZE`]. Whether the hashes are right, only the root that they give can tell.
    pub fn new(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        let fits = size <= MAX_SIZE && hashes.len() == size.count_ones() as usize;
        fits.then_some(Self { size, hashes })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        join(&self.hashes)
    }

    /// Appends a leaf by its hash. `completed` is told each node that the tree now has and had not before, from the leaf
    /// upwards, with its hash: every node of a tree is told once in its life.
    pub fn append(&mut self, leaf_hash: Hash, mut completed: impl FnMut(Node, Hash)) -> Result<(), TreeFull> {
        if self.size >= MAX_SIZE {
            return Err(TreeFull);
        }
        let (mut node, mut hash) = (Node { level: 0, index: self.size }, leaf_hash);
        completed(node, hash);
        // Each bit that is carried is a subtree that has found its right half.
        for _ in 0..self.size.trailing_ones() {
            let left = self.hashes.pop().expect("there is a hash for each bit of the size");
            (node, hash) = (node.parent(), node_hash(&left, &hash));
            completed(node, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
        Ok(())
    }
}
