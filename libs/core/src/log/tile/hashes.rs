//! Hash tiles: their bytes, and the hashes that are found in them.

use std::collections::BTreeMap;

use crate::hash::Hash;
use crate::log::merkle::{Node, RightEdge, node_hash};
use crate::log::tile::{TileId, TileKind};

/// A tile of hashes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashTile {
    pub(super) id: TileId,
    pub(super) hashes: Vec<Hash>,
}

/// The bytes are not the tile's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash tile is 32 bytes for each hash of its width")]
pub struct TileError;

impl HashTile {
    /// The tile of these hashes. Refused: a bundle's id, another number of hashes than the tile is wide.
    pub fn new(id: TileId, hashes: Vec<Hash>) -> Result<Self, TileError> {
        let is_wide = matches!(id.kind(), TileKind::Hashes(_)) && hashes.len() == usize::from(id.width());
        if is_wide { Ok(Self { id, hashes }) } else { Err(TileError) }
    }

    /// The tile of these bytes: its hashes, one after the other. Refused as by [`HashTile::new`].
    pub fn parse(id: TileId, bytes: &[u8]) -> Result<Self, TileError> {
        let (hashes, rest) = bytes.as_chunks();
        if rest.is_empty() { Self::new(id, hashes.iter().copied().map(Hash).collect()) } else { Err(TileError) }
    }

    /// The tile's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// Which tile it is.
    pub fn id(&self) -> TileId {
        self.id
    }

    /// Its hashes, from the left.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// Tiles at hand, to take nodes' hashes from. They are taken as they are: whether they are the tree's, only a root can tell.
#[derive(Clone, Debug, Default)]
pub struct Tiles(BTreeMap<(TileKind, u64), HashTile>);

impl Tiles {
    /// Adds a tile; of two of one place the wider one stays.
    pub fn insert(&mut self, tile: HashTile) {
        let place = (tile.id.kind(), tile.id.n());
        if self.0.get(&place).is_none_or(|held| held.id.width() < tile.id.width()) {
            self.0.insert(place, tile);
        }
    }

    /// The hashes of this tile, from it or from a wider one in its place; `None` where there is neither.
    pub fn hashes(&self, id: TileId) -> Option<&[Hash]> {
        self.0.get(&(id.kind(), id.n()))?.hashes.get(..id.width().into())
    }

    /// The hash of a node, from the tile of its level; `None` where that is not at hand, or is too narrow.
    pub fn hash(&self, node: Node) -> Option<Hash> {
        let height = node.level % 8;
        let tile = self.0.get(&(TileKind::Hashes(node.level / 8), node.index >> (8 - height)))?;
        // The node's part of the tile: 2^height hashes.
        let start = usize::try_from(node.index & (0xff >> height)).ok()? << height;
        let mut row = tile.hashes.get(start..start + (1 << height))?.to_vec();
        while row.len() > 1 {
            row = row.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        row.pop()
    }

    /// The root of the tree of the first `size` leaves; `None` where a tile that it takes is not at hand, or `size` is above
    /// [`crate::log::MAX_SIZE`].
    pub fn root(&self, size: u64) -> Option<Hash> {
        let hashes = RightEdge::nodes(size).map(|node| self.hash(node)).collect::<Option<_>>()?;
        Some(RightEdge::new(size, hashes)?.root())
    }
}

impl FromIterator<HashTile> for Tiles {
    fn from_iter<I: IntoIterator<Item = HashTile>>(tiles: I) -> Self {
        let mut all = Self::default();
        tiles.into_iter().for_each(|tile| all.insert(tile));
        all
    }
}
