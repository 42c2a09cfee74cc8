//! The tiles: whether they are the tree that the checkpoint says (INTEGRITY, Verifying, notes and tiles, check 4).

use crate::hash::Hash;
use crate::log::checkpoint::Checkpoint;
use crate::log::merkle::{Node, RightEdge, empty_root};
use crate::log::tile::{EdgeTiles, HashTile, TileId, TileKind, Tiles};
use crate::verify::{LogFinding, Verdict};

/// Of tiles that are missing or wrong, so many are named. A checkpoint can say a size of 2^53, and nothing behind it.
const MAX_FINDINGS: usize = 1000;

/// Checks the hash tiles of a tree, one after the other, as the caller fetches them:
///
/// ```text
/// while let Some(id) = tree.wanted() { tree.take(fetch(id)) }
/// ```
///
/// From level 0 the tree is built anew by the code that a sealer appends with. So every tile above, and the root, is compared
/// with what it has to be. Level 0 is kept, 32 bytes a leaf: events are read plan by plan, so that each asks for another tile,
/// and a cache that held less would fetch every tile once for each plan in it.
#[derive(Debug)]
pub struct TreeCheck {
    size: u64,
    root: Hash,
    wanted: Option<TileId>,
    edge: EdgeTiles,
    tiles: Tiles,
    findings: Vec<LogFinding>,
}

/// A tree whose tiles all are what they have to be.
#[derive(Debug)]
pub(super) struct CheckedTree {
    size: u64,
    tiles: Tiles,
}

impl TreeCheck {
    /// Begins with the tree of this checkpoint; of none, with the empty one.
    pub(super) fn new(checkpoint: Option<&Checkpoint>) -> Self {
        let (size, root) = checkpoint.map_or((0, empty_root()), |checkpoint| (checkpoint.size(), checkpoint.root()));
        Self {
            size,
            root,
            wanted: TileId::in_tree(TileKind::Hashes(0), 0, size),
            edge: EdgeTiles::empty(),
            tiles: Tiles::default(),
            findings: Vec::new(),
        }
    }

    /// The tile to fetch next: those of level 0 from the left, then those of level 1, and so on. `None` at the end, and where
    /// so much is wrong that no more is asked for.
    pub fn wanted(&self) -> Option<TileId> {
        self.wanted.filter(|_| self.findings.len() < MAX_FINDINGS)
    }

    /// Takes the bytes of the tile that was wanted, exactly as wide as that; `None` where it is missing. Of a wider tile in
    /// its place, the first 32 bytes for each hash of its width are handed in.
    pub fn take(&mut self, bytes: Option<&[u8]>) {
        let Some(id) = self.wanted() else { return };
        self.wanted = following(id, self.size);
        let Some(tile) = bytes.and_then(|bytes| HashTile::parse(id, bytes).ok()) else {
            self.find(id, "it is missing, or not 32 bytes for each of its hashes");
            return;
        };
        if id.kind() != TileKind::Hashes(0) {
            // Where level 0 has a hole, nothing is known of what is above.
            let built = self.edge.size() == self.size;
            if built && self.tiles.hashes(id) != Some(tile.hashes()) {
                self.find(id, "it is not the hashes of the tiles below");
            }
        } else if self.findings.is_empty() {
            let tiles = self.edge.append(tile.hashes()).expect("a checkpoint's size is one that a tree can have");
            for tile in tiles {
                self.tiles.insert(tile);
            }
        }
    }

    /// The tree, if nothing is wrong with it, and what is.
    pub(super) fn finish(mut self) -> (Option<CheckedTree>, Vec<LogFinding>) {
        if self.findings.is_empty() && (self.edge.size(), self.edge.root()) != (self.size, self.root) {
            let detail = "level 0 does not give the checkpoint's root";
            match TileId::all(TileKind::Hashes(0), self.size).last() {
                Some(last) => self.find(last, detail),
                None => self.findings.push(LogFinding::new(Verdict::Tile, "size 0", detail)),
            }
        }
        let tree = self.findings.is_empty().then_some(CheckedTree { size: self.size, tiles: self.tiles });
        (tree, self.findings)
    }

    fn find(&mut self, id: TileId, detail: &str) {
        self.findings.push(LogFinding::new(Verdict::Tile, id.to_string(), detail));
    }
}

impl CheckedTree {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The hash of a leaf; `None` beyond the last one.
    pub(super) fn leaf_hash(&self, index: u64) -> Option<Hash> {
        self.tiles.hash(Node { level: 0, index })
    }

    /// The root that the tree had at this size; `None` where it never had it.
    pub(super) fn root(&self, size: u64) -> Option<Hash> {
        let hashes: Option<Vec<Hash>> = RightEdge::nodes(size).map(|node| self.tiles.hash(node)).collect();
        RightEdge::new(size, hashes?).map(|edge| edge.root())
    }
}

/// The tile that is asked for after this one.
fn following(id: TileId, size: u64) -> Option<TileId> {
    let next = TileId::in_tree(id.kind(), id.n() + 1, size);
    next.or_else(|| match id.kind() {
        TileKind::Hashes(level) => TileId::in_tree(TileKind::Hashes(level + 1), 0, size),
        TileKind::Entries => None,
    })
}
