//! The bytes of hash tiles and entry bundles, and the hashes of nodes that are computed from hash tiles.

use std::collections::BTreeMap;

use crate::hash::Hash;
use crate::log::merkle::{Node, RightEdge, node_hash};
use crate::log::tile::{FULL_WIDTH, TileId, TileKind};

/// A hash tile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashTile {
    pub(super) id: TileId,
    pub(super) hashes: Vec<Hash>,
}

/// The error of a hash tile whose number of hashes is not its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash tile does not have 32 bytes for each hash of its width")]
pub struct TileError;

/// Reasons why leaves cannot be encoded, or bytes are not the entry bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryBundleError {
    /// The id is that of a hash tile.
    #[error("the tile contains hashes, not entries")]
    Kind,
    /// A leaf is too long to encode.
    #[error("a leaf exceeds 65,535 bytes")]
    Leaf,
    /// The number of leaves is not the width of the entry bundle, or not from 1 to 256.
    #[error("wrong number of leaves for the width of the entry bundle")]
    Width,
    /// The bytes end inside a leaf or a length.
    #[error("the entry bundle ends inside a leaf")]
    Cut,
}

impl HashTile {
    /// Creates a tile. Fails if `id` is that of an entry bundle, or if the number of hashes is not its width.
    pub fn new(id: TileId, hashes: Vec<Hash>) -> Result<Self, TileError> {
        let is_complete = matches!(id.kind(), TileKind::Hashes(_)) && hashes.len() == usize::from(id.width());
        if is_complete { Ok(Self { id, hashes }) } else { Err(TileError) }
    }

    /// Parses the bytes of a tile, its hashes one after the other. Fails like [`HashTile::new`].
    pub fn parse(id: TileId, bytes: &[u8]) -> Result<Self, TileError> {
        let (hashes, rest) = bytes.as_chunks();
        if rest.is_empty() { Self::new(id, hashes.iter().copied().map(Hash).collect()) } else { Err(TileError) }
    }

    /// Returns the bytes of the tile.
    pub fn encode(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// Returns the id of the tile.
    pub fn id(&self) -> TileId {
        self.id
    }

    /// Returns the hashes of the tile, from the left.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// A set of hash tiles from which the hashes of nodes are computed. The tiles are not checked: compare [`Tiles::root`]
/// with a trusted root.
#[derive(Clone, Debug, Default)]
pub struct Tiles(BTreeMap<(TileKind, u64), HashTile>);

impl Tiles {
    /// Adds a tile. Of two tiles with the same level and number, the wider one is kept.
    pub fn insert(&mut self, tile: HashTile) {
        let key = (tile.id.kind(), tile.id.n());
        if self.0.get(&key).is_none_or(|present| present.id.width() < tile.id.width()) {
            self.0.insert(key, tile);
        }
    }

    /// Returns the hashes of a tile, from the tile itself or from a wider one in its place. Returns `None` if neither
    /// is present.
    pub fn hashes(&self, id: TileId) -> Option<&[Hash]> {
        self.0.get(&(id.kind(), id.n()))?.hashes.get(..id.width().into())
    }

    /// Returns the hash of a node, computed from the tile below it. Returns `None` if that tile is absent or too
    /// narrow.
    pub fn hash(&self, node: Node) -> Option<Hash> {
        let height = node.level % 8;
        let tile = self.0.get(&(TileKind::Hashes(node.level / 8), node.index >> (8 - height)))?;
        // The node covers 2^height adjacent hashes of the tile.
        let offset = usize::try_from(node.index & (0xff >> height)).expect("an offset in a tile is below 256");
        let start = offset << height;
        let mut row = tile.hashes.get(start..start + (1 << height))?.to_vec();
        while row.len() > 1 {
            row = row.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        row.pop()
    }

    /// Returns the root of the tree of the first `size` leaves. Returns `None` if a tile is absent or `size` exceeds
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

/// Encodes 1 to 256 leaves as an entry bundle.
pub fn encode_entry_bundle(leaves: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, EntryBundleError> {
    if !(1..=usize::from(FULL_WIDTH)).contains(&leaves.len()) {
        return Err(EntryBundleError::Width);
    }
    let mut bundle = Vec::new();
    for leaf in leaves.iter().map(AsRef::as_ref) {
        let length = u16::try_from(leaf.len()).map_err(|_| EntryBundleError::Leaf)?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(leaf);
    }
    Ok(bundle)
}

/// Splits an entry bundle into its leaves, whose number has to be the width of `id`. The leaves themselves are not
/// checked; see [`crate::event::Leaf::decode`].
pub fn parse_entry_bundle(id: TileId, bundle: &[u8]) -> Result<Vec<&[u8]>, EntryBundleError> {
    if id.kind() != TileKind::Entries {
        return Err(EntryBundleError::Kind);
    }
    let (mut leaves, mut rest) = (Vec::new(), bundle);
    while !rest.is_empty() {
        if leaves.len() == usize::from(id.width()) {
            return Err(EntryBundleError::Width);
        }
        let (length, after) = rest.split_first_chunk().ok_or(EntryBundleError::Cut)?;
        let (leaf, after) = after.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(EntryBundleError::Cut)?;
        leaves.push(leaf);
        rest = after;
    }
    if leaves.len() == usize::from(id.width()) { Ok(leaves) } else { Err(EntryBundleError::Width) }
}
