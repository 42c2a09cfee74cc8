//! Appending to a tree that is stored as tiles (c2sp.org/tlog-tiles).
//!
//! A complete subtree of level 8 · L is stored as one hash in a tile of level L. Appending a leaf completes the
//! subtrees that [`RightEdge::append`] reports; those of the stored levels are put into the partial tiles. A partial
//! tile with 256 hashes is full and never changes again.

use std::mem;

use crate::hash::Hash;
use crate::log::MAX_SIZE;
use crate::log::merkle::{Node, RightEdge, TreeFull};
use crate::log::tile::{FULL_WIDTH, HashTile, TileId, TileKind, Tiles};

/// The partial tiles of a tree, at most 7 of them. Nothing else has to be read to append to the tree. The default is the
/// edge of the empty tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EdgeTiles {
    edge: RightEdge,
    /// The hashes of the partial tile of each tile level. The list is empty if the last tile of the level is full.
    levels: Vec<Vec<Hash>>,
}

/// Reasons why the edge of a stored tree cannot be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// A partial tile is missing, or has too few hashes.
    #[error("{0} is missing or too narrow")]
    Missing(TileId),
    /// The size exceeds [`MAX_SIZE`].
    #[error(transparent)]
    TooLarge(#[from] TreeFull),
}

impl EdgeTiles {
    /// Creates the edge of a tree of `size` leaves from the tiles that [`TileId::partial`] lists, or wider ones in
    /// their place.
    ///
    /// The hashes are not checked: compare [`EdgeTiles::root`] with the root that is stored with the size.
    pub fn new(size: u64, tiles: &Tiles) -> Result<Self, EdgeError> {
        if size > MAX_SIZE {
            return Err(TreeFull.into());
        }
        let mut levels = Vec::new();
        for id in TileId::partial(size) {
            if let TileKind::Hashes(level) = id.kind() {
                levels.resize_with(usize::from(level), Vec::new);
                levels.push(tiles.hashes(id).ok_or(EdgeError::Missing(id))?.to_vec());
            }
        }
        let hashes = RightEdge::nodes(size).filter_map(|node| tiles.hash(node)).collect();
        let edge = RightEdge::new(size, hashes).expect("the partial tiles contain all nodes of the edge");
        Ok(Self { edge, levels })
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Appends leaves by their hashes. Returns the tiles that are new or wider than before. The caller stores them in
    /// one transaction with the new size and root.
    ///
    /// Fails without any change if the tree would exceed [`MAX_SIZE`] leaves.
    pub fn append(&mut self, leaf_hashes: &[Hash]) -> Result<Vec<HashTile>, TreeFull> {
        let before = self.size();
        if leaf_hashes.len() as u64 > MAX_SIZE - before {
            return Err(TreeFull);
        }
        let (edge, levels, mut tiles) = (&mut self.edge, &mut self.levels, Vec::new());
        for hash in leaf_hashes {
            edge.append(*hash, |node, hash| tiles.extend(store_node(levels, node, hash)))?;
        }
        for id in TileId::partial(self.size()).filter(|id| !id.is_within(before)) {
            if let TileKind::Hashes(level) = id.kind() {
                tiles.push(HashTile { id, hashes: self.levels[usize::from(level)].clone() });
            }
        }
        Ok(tiles)
    }
}

/// Adds a completed node to the partial tile of its level, if the level is stored in tiles. Returns the tile if it is
/// full now.
fn store_node(levels: &mut Vec<Vec<Hash>>, node: Node, hash: Hash) -> Option<HashTile> {
    if !node.level.is_multiple_of(8) {
        return None;
    }
    let level = node.level / 8;
    if levels.len() == usize::from(level) {
        levels.push(Vec::with_capacity(FULL_WIDTH.into()));
    }
    let partial = &mut levels[usize::from(level)];
    partial.push(hash);
    let full = partial.len() == usize::from(FULL_WIDTH);
    let id = TileId::new(TileKind::Hashes(level), node.index / u64::from(FULL_WIDTH), FULL_WIDTH)?;
    full.then(|| HashTile { id, hashes: mem::take(partial) })
}
