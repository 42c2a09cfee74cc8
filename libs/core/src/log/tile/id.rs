//! Identifiers of tiles, their paths, and the tiles that a tree of a given size has.

use std::fmt;
use std::str::FromStr;

use crate::log::line::decimal;
use crate::log::merkle::Node;
use crate::log::tile::FULL_WIDTH;

/// The content of a tile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TileKind {
    /// Hashes of the given tile level, from 0 to 63.
    Hashes(u8),
    /// Leaves.
    Entries,
}

/// The id of a hash tile or entry bundle, full or partial. Its text form is the path of tlog-tiles, for example
/// `tile/0/x001/x234/067` or `tile/entries/273.p/112`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileId {
    kind: TileKind,
    n: u64,
    width: u16,
}

/// The error of a malformed tile path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed tile path: expected for example tile/0/x001/x234/067 or tile/entries/273.p/112")]
pub struct TilePathError;

impl TileId {
    /// Creates the id of the `n`-th tile of a kind, counted from 0. `width` is the number of hashes or leaves. Returns
    /// `None` if the level exceeds 63 or the width is not from 1 to 256.
    pub fn new(kind: TileKind, n: u64, width: u16) -> Option<Self> {
        let is_level = matches!(kind, TileKind::Entries | TileKind::Hashes(0..64));
        (is_level && (1..=FULL_WIDTH).contains(&width)).then_some(Self { kind, n, width })
    }

    /// Returns the content of the tile.
    pub fn kind(self) -> TileKind {
        self.kind
    }

    /// Returns the number of the tile among those of its kind, from 0.
    pub fn n(self) -> u64 {
        self.n
    }

    /// Returns the number of hashes or leaves, from 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Returns the `n`-th tile of a kind in a tree of `size` leaves. Returns `None` if that tree does not have it.
    pub fn in_tree(kind: TileKind, n: u64, size: u64) -> Option<Self> {
        let width = kind.count_in(size).checked_sub(n.checked_mul(FULL_WIDTH.into())?)?;
        let width = width.min(FULL_WIDTH.into());
        Self::new(kind, n, u16::try_from(width).expect("a width of at most 256 is a u16"))
    }

    /// Returns whether a tree of `size` leaves has all hashes or leaves of this tile. A partial tile of a smaller tree
    /// is a prefix of the tile with the same number in a larger tree.
    pub fn is_within(self, size: u64) -> bool {
        Self::in_tree(self.kind, self.n, size).is_some_and(|tile| self.width <= tile.width)
    }

    /// Returns the hash tile from which the hash of a node is computed in a tree of `size` leaves. Returns `None` if
    /// the node is not a complete subtree of that tree.
    pub fn holding(node: Node, size: u64) -> Option<Self> {
        let nodes = size.checked_shr(node.level.into())?;
        let kind = TileKind::Hashes(node.level / 8);
        (node.index < nodes).then(|| Self::in_tree(kind, node.index >> (8 - node.level % 8), size))?
    }

    /// Returns the tiles of a kind in a tree of `size` leaves, from the left. The last one may be partial.
    pub fn all(kind: TileKind, size: u64) -> impl Iterator<Item = Self> {
        (0..kind.count_in(size).div_ceil(FULL_WIDTH.into())).filter_map(move |n| Self::in_tree(kind, n, size))
    }

    /// Returns the partial hash tiles of a tree of `size` leaves, from level 0 up. A level whose last tile is full has
    /// no partial tile.
    pub fn partial(size: u64) -> impl Iterator<Item = Self> {
        let last = move |level| {
            let kind = TileKind::Hashes(level);
            Self::in_tree(kind, kind.count_in(size) / u64::from(FULL_WIDTH), size)
        };
        (0..8).filter_map(last)
    }
}

impl TileKind {
    /// Returns the number of hashes or leaves in all tiles of this kind in a tree of `size` leaves.
    fn count_in(self, size: u64) -> u64 {
        match self {
            // A shift by 64 bits or more means that the tree has no hash of this level.
            Self::Hashes(level) => size.checked_shr(8 * u32::from(level)).unwrap_or(0),
            Self::Entries => size,
        }
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}")?,
            TileKind::Entries => f.write_str("tile/entries")?,
        }
        // The number is written in at most seven groups of three digits. Each group except the last begins with an x.
        for above in (1..7).rev().map(|place| self.n / 1000_u64.pow(place)).filter(|above| *above > 0) {
            write!(f, "/x{:03}", above % 1000)?;
        }
        write!(f, "/{:03}", self.n % 1000)?;
        if self.width == FULL_WIDTH { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for TileId {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        parse(path).ok_or(TilePathError)
    }
}

fn parse(path: &str) -> Option<TileId> {
    let (kind, number) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(u8::try_from(decimal(level, 63)?).ok()?),
    };
    let (number, width) = match number.split_once(".p/") {
        Some((number, width)) => (number, u16::try_from(decimal(width, 255)?).ok()?),
        None => (number, FULL_WIDTH),
    };
    // A first group of zeros would be a second spelling of the same number.
    if number.starts_with("x000") {
        return None;
    }
    let (mut n, mut groups) = (0_u64, number.split('/').peekable());
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        n = n.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    TileId::new(kind, n, width)
}
