//! Hash tiles: whether they form the tree of the checkpoint (`docs/spec/integrity.md#verify-log-4`).

use crate::hash::Hash;
use crate::log::checkpoint::Checkpoint;
use crate::log::merkle::empty_root;
use crate::log::tile::{EdgeTiles, HashTile, TileId, TileKind, Tiles};
use crate::verify::{LogFinding, Verdict};

/// The maximum number of tiles that are reported. Without it, a checkpoint that claims 2^53 leaves would cause endless
/// findings.
const MAX_FINDINGS: usize = 1000;

/// Checks the hash tiles of a tree one after the other, in the order in which it requests them:
///
/// ```text
/// while let Some(id) = tree.wanted() { tree.take(fetch(id)) }
/// ```
///
/// It rebuilds the tree from the tiles of level 0 with the code that the sealer uses, and compares all other tiles and
/// the root with the result. The tiles of level 0 stay in memory, 32 bytes for each leaf. Events are read plan by plan
/// and therefore in no order of log indexes, so a smaller cache would fetch each tile once for every plan in it.
#[derive(Debug)]
pub struct TreeCheck {
    size: u64,
    root: Hash,
    wanted: Option<TileId>,
    edge: EdgeTiles,
    tiles: Tiles,
    findings: Vec<LogFinding>,
}

impl TreeCheck {
    /// Starts with the tree of a checkpoint, or with the empty tree if there is no checkpoint.
    pub(super) fn new(checkpoint: Option<&Checkpoint>) -> Self {
        let (size, root) = checkpoint.map_or((0, empty_root()), |checkpoint| (checkpoint.size(), checkpoint.root()));
        Self {
            size,
            root,
            wanted: TileId::in_tree(TileKind::Hashes(0), 0, size),
            edge: EdgeTiles::default(),
            tiles: Tiles::default(),
            findings: Vec::new(),
        }
    }

    /// Returns the tile to fetch next: first the tiles of level 0 from the left, then those of level 1, and so on.
    /// Returns `None` at the end, or after 1,000 findings.
    pub fn wanted(&self) -> Option<TileId> {
        self.wanted.filter(|_| self.findings.len() < MAX_FINDINGS)
    }

    /// Takes the bytes of the tile that [`TreeCheck::wanted`] returned, or `None` if the tile is missing. The bytes
    /// have the width of that tile: a wider tile has to be cut by the caller.
    pub fn take(&mut self, bytes: Option<&[u8]>) {
        let Some(id) = self.wanted() else { return };
        self.wanted = following(id, self.size);
        let Some(tile) = bytes.and_then(|bytes| HashTile::parse(id, bytes).ok()) else {
            return self.report(id, "the tile is missing, or does not have 32 bytes for each hash");
        };
        if id.kind() != TileKind::Hashes(0) {
            // If a tile of level 0 is missing, the levels above cannot be checked.
            let is_complete = self.edge.size() == self.size;
            if is_complete && self.tiles.hashes(id) != Some(tile.hashes()) {
                self.report(id, "the tile is not the hashes of the tiles below");
            }
        } else if self.findings.is_empty() {
            let tiles = self.edge.append(tile.hashes()).expect("the size of a checkpoint is at most MAX_SIZE");
            for tile in tiles {
                self.tiles.insert(tile);
            }
        }
    }

    /// Returns the tiles of the tree, if there is no finding, and the findings.
    pub(super) fn finish(mut self) -> (Option<Tiles>, Vec<LogFinding>) {
        if self.findings.is_empty() && (self.edge.size(), self.edge.root()) != (self.size, self.root) {
            let detail = "the tiles of level 0 do not have the root of the checkpoint";
            match TileId::all(TileKind::Hashes(0), self.size).last() {
                Some(last) => self.report(last, detail),
                None => self.findings.push(LogFinding::new(Verdict::Tile, "size 0", detail)),
            }
        }
        (Some(self.tiles).filter(|_| self.findings.is_empty()), self.findings)
    }

    fn report(&mut self, id: TileId, detail: &str) {
        self.findings.push(LogFinding::new(Verdict::Tile, id.to_string(), detail));
    }
}

/// Returns the tile that is requested after this one.
fn following(id: TileId, size: u64) -> Option<TileId> {
    let TileKind::Hashes(level) = id.kind() else { return None };
    let next = TileId::in_tree(id.kind(), id.n() + 1, size);
    next.or_else(|| TileId::in_tree(TileKind::Hashes(level + 1), 0, size))
}
