//! Appending to a tree that is stored as tiles.

use std::mem;

use crate::hash::Hash;
use crate::log::MAX_SIZE;
use crate::log::merkle::{Node, RightEdge, TreeFull};
use crate::log::tile::{FULL_WIDTH, HashTile, TileId, TileKind, Tiles};

/// The partial tiles of a tree, which are all that has to be read of it to append: at most 7 tiles, however large it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EdgeTiles {
    edge: RightEdge,
    /// The hashes of each level's partial tile; none where the level's last tile is full.
    levels: Vec<Vec<Hash>>,
}

/// Why a stored tree cannot be appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum EdgeError {
    #[error("{0} is missing, or narrower")]
    Missing(TileId),
    #[error(transparent)]
    TooLarge(#[from] TreeFull),
}

impl EdgeTiles {
    /// The edge of the tree without leaves.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` leaves, from the tiles that [`TileId::partial`] names; wider ones in their places do as
    /// well. Compare [`EdgeTiles::root`] with the root that was stored with the size: nothing else says that they are right.
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
        let edge = RightEdge::new(size, hashes).expect("the partial tiles hold the nodes of the edge");
        Ok(Self { edge, levels })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Appends leaves by their hashes. What comes back are the tiles that the tree now has and had not before, or had
    /// narrower: they are to be written together with the new size and root.
    ///
    /// Refused, before anything is changed: more leaves than [`MAX_SIZE`] allows.
    pub fn append(&mut self, leaf_hashes: &[Hash]) -> Result<Vec<HashTile>, TreeFull> {
        let before = self.size();
        if leaf_hashes.len() as u64 > MAX_SIZE - before {
            return Err(TreeFull);
        }
        let (edge, levels, mut tiles) = (&mut self.edge, &mut self.levels, Vec::new());
        for hash in leaf_hashes {
            edge.append(*hash, |node, hash| tiles.extend(put(levels, node, hash)))?;
        }
        for id in TileId::partial(self.size()).filter(|id| !id.is_within(before)) {
            if let TileKind::Hashes(level) = id.kind() {
                tiles.push(HashTile { id, hashes: self.levels[usize::from(level)].clone() });
            }
        }
        Ok(tiles)
    }
}

/// Puts a node that the tree has got into its level's partial tile, if it is of a level that is stored. A tile that it fills
/// is given back.
fn put(levels: &mut Vec<Vec<Hash>>, node: Node, hash: Hash) -> Option<HashTile> {
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
