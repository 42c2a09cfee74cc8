//! Tiles, the form in which the tree is stored and served (c2sp.org/tlog-tiles).
//!
//! A hash tile of level 0 contains up to 256 leaf hashes. A hash tile of level L + 1 contains the roots of up to 256
//! full tiles of level L. A tile of level L thus contains nodes of level 8 · L of the tree; the nodes of the levels
//! between are computed when they are needed. An entry bundle contains the leaves themselves. Only the last tile of a
//! level can be partial, and a partial tile has no hash in the level above.

mod content;
mod edge;
mod id;

pub use self::content::{EntryBundleError, HashTile, TileError, Tiles, encode_entry_bundle, parse_entry_bundle};
pub use self::edge::{EdgeError, EdgeTiles};
pub use self::id::{TileId, TileKind, TilePathError};

/// The number of hashes of a full tile, and of leaves of a full entry bundle.
pub const FULL_WIDTH: u16 = 256;
