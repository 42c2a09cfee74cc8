//! What a tile is called, and which tiles a tree has.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::log::line::decimal;
use crate::log::merkle::Node;
use crate::log::tile::FULL_WIDTH;

/// What a tile holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TileKind {
    /// Hashes of the tree, of this tile level: 0 to 63.
    Hashes(u8),
    /// Leaves.
    Entries,
}

/// A hash tile or an entry bundle, full or partial: `tile/0/x001/x234/067`, `tile/entries/273.p/112`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileId {
    kind: TileKind,
    n: u64,
    width: u16,
}

/// The text is no tile's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tile's path is like tile/0/x001/x234/067 or tile/entries/273.p/112")]
pub struct TilePathError;

impl TileId {
    /// The tile of this kind and place, counted from 0, and so many hashes or leaves wide; `None` where the level is above 63
    /// or the width is not 1 to 256.
    pub fn new(kind: TileKind, n: u64, width: u16) -> Option<Self> {
        let is_level = matches!(kind, TileKind::Entries | TileKind::Hashes(0..64));
        (is_level && (1..=FULL_WIDTH).contains(&width)).then_some(Self { kind, n, width })
    }

    /// What it holds.
    pub fn kind(self) -> TileKind {
        self.kind
    }

    /// Its place among those of its kind, from 0.
    pub fn n(self) -> u64 {
        self.n
    }

    /// How many hashes or leaves it holds: 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether it holds as many as a tile can; then it never changes.
    pub fn is_full(self) -> bool {
        self.width == FULL_WIDTH
    }

    /// The `n`-th tile of its kind as it stands in a tree of `size` leaves; `None` where that tree has nothing for it.
    pub fn at(kind: TileKind, n: u64, size: u64) -> Option<Self> {
        let width = kind.held_by(size).checked_sub(n.checked_mul(FULL_WIDTH.into())?)?;
        let width = u16::try_from(width).unwrap_or(FULL_WIDTH).min(FULL_WIDTH);
        Self::new(kind, n, width)
    }

    /// Whether a tree of `size` leaves has all that this tile holds. A partial tile of a smaller tree is the beginning of the
    /// one that stands in its place later.
    pub fn is_within(self, size: u64) -> bool {
        Self::at(self.kind, self.n, size).is_some_and(|now| self.width <= now.width)
    }

    /// The hash tile of a tree of `size` leaves in which the hash of this node is found; `None` where that tree does not have
    /// the whole node.
    pub fn holding(node: Node, size: u64) -> Option<Self> {
        let nodes = size.checked_shr(node.level.into())?;
        let kind = TileKind::Hashes(node.level / 8);
        (node.index < nodes).then(|| Self::at(kind, node.index >> (8 - node.level % 8), size))?
    }

    /// The hash tiles of a tree of `size` leaves in which the hashes of these nodes are found: what to fetch for a
    /// [`ProofPlan`](crate::log::merkle::ProofPlan), or a root. Nodes that the tree does not have whole are passed over.
    pub fn holding_all(nodes: impl IntoIterator<Item = Node>, size: u64) -> BTreeSet<Self> {
        nodes.into_iter().filter_map(|node| Self::holding(node, size)).collect()
    }

    /// The tiles of this kind that a tree of `size` leaves has, from the left; the last one can be partial.
    pub fn all(kind: TileKind, size: u64) -> impl Iterator<Item = Self> {
        (0..kind.held_by(size).div_ceil(FULL_WIDTH.into())).filter_map(move |n| Self::at(kind, n, size))
    }

    /// The last tile of each hash level that a tree of `size` leaves has, if it is partial, from level 0 up.
    pub fn partial(size: u64) -> impl Iterator<Item = Self> {
        let last = move |level| {
            let kind = TileKind::Hashes(level);
            Self::at(kind, kind.held_by(size) / u64::from(FULL_WIDTH), size)
        };
        (0..8).filter_map(last)
    }
}

impl TileKind {
    /// How many hashes, or leaves, the tiles of this kind hold between them in a tree of `size` leaves.
    fn held_by(self, size: u64) -> u64 {
        match self {
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
        // Three digits a group, up to seven groups; all but the last begin with an x.
        for above in (1..7).rev().map(|place| self.n / 1000_u64.pow(place)).filter(|above| *above > 0) {
            write!(f, "/x{:03}", above % 1000)?;
        }
        write!(f, "/{:03}", self.n % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for TileId {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        parse(path).ok_or(TilePathError)
    }
}

fn parse(path: &str) -> Option<TileId> {
    let (kind, place) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(u8::try_from(decimal(level, 63)?).ok()?),
    };
    let (place, width) = match place.split_once(".p/") {
        Some((place, width)) => (place, u16::try_from(decimal(width, 255)?).ok()?),
        None => (place, FULL_WIDTH),
    };
    // A first group of nothing but zeros would be a second spelling.
    if place.starts_with("x000") {
        return None;
    }
    let (mut n, mut groups) = (0_u64, place.split('/').peekable());
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        n = n.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    TileId::new(kind, n, width)
}
