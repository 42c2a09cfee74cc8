//! The tree as tiles, the form in which it is stored and served (c2sp.org/tlog-tiles).
//!
//! A hash tile of level 0 holds up to 256 leaf hashes, one of level L + 1 the roots of up to 256 full tiles of level L: each
//! holds nodes of the tree's level 8 · L, and what lies between is hashed anew when it is needed. An entry bundle holds the
//! leaves themselves. Only the last tile of a level can be partial, and it is never hashed into one above.

mod bundle;
mod edge;
mod hashes;
mod id;

pub use self::bundle::{BundleError, encode_bundle, parse_bundle};
pub use self::edge::{EdgeError, EdgeTiles};
pub use self::hashes::{HashTile, TileError, Tiles};
pub use self::id::{TileId, TileKind, TilePathError};

/// Hashes in a full tile, leaves in a full bundle.
pub const FULL_WIDTH: u16 = 256;
