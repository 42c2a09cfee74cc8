//! The files of a bundle.

use std::fmt;

use crate::log::tile::{FULL_WIDTH, HashTile, TileId, TileKind};

/// A file of a bundle.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BundlePath {
    /// `checkpoint`: the newest note.
    Checkpoint,
    /// `anchors/<n>`: an anchored note. The value is `<n>`.
    Anchor(String),
    /// `tile/<L>/<N>[.p/<W>]`: a hash tile. A bundle with tiles is of the whole log, one without
    /// tiles is of some plans.
    Tile(TileId),
    /// `events.jsonl`: the records.
    Events,
}

impl BundlePath {
    /// Classifies the file at `path`. Returns `None` if it is not part of a bundle.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "checkpoint" => Some(Self::Checkpoint),
            "events.jsonl" => Some(Self::Events),
            _ => match path.strip_prefix("anchors/") {
                Some(name) => (!name.is_empty()).then(|| Self::Anchor(name.to_owned())),
                None => path.parse().ok().filter(|id: &TileId| id.kind() != TileKind::Entries).map(BundlePath::Tile),
            },
        }
    }
}

/// Returns the bytes of a hash tile for [`TreeCheck::take`](crate::verify::TreeCheck::take). `read` returns the file at
/// a path.
///
/// If the bundle does not have the tile, a prefix of a wider tile with the same number is returned. This happens when the
/// checkpoint is replaced by an older anchor, because the tree's partial tiles have grown since then. Returns `None` if the
/// bundle has no wide enough tile, or if the file does not have the length that its path states.
pub fn find_tile(id: TileId, mut read: impl FnMut(&str) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut wider = (id.width()..=FULL_WIDTH).filter_map(|width| TileId::new(id.kind(), id.n(), width));
    let (found, bytes) = wider.find_map(|wider| Some((wider, read(&wider.to_string())?)))?;
    HashTile::parse(found, &bytes).ok()?;
    Some(bytes[..32 * usize::from(id.width())].to_vec())
}

impl fmt::Display for BundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Anchor(name) => write!(f, "anchors/{name}"),
            Self::Tile(tile) => tile.fmt(f),
            Self::Events => f.write_str("events.jsonl"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_bundle_are_known_by_their_paths() {
        for path in ["checkpoint", "events.jsonl", "anchors/0", "anchors/12", "tile/0/x001/000.p/3", "tile/1/000"] {
            assert_eq!(BundlePath::parse(path).unwrap().to_string(), path);
        }
        for other in ["", "anchors/", "Checkpoint", "./checkpoint", "tile/entries/000", "tile/0/0", "events.json"] {
            assert_eq!(BundlePath::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_tile_is_read_from_a_wider_one() {
        let id = |path: &str| path.parse::<TileId>().unwrap();
        let hashes = |width: u8| (0..width).flat_map(|number| [number; 32]).collect::<Vec<_>>();
        let find = |files: &[(&str, Vec<u8>)], wanted: &str| {
            let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.clone());
            find_tile(id(wanted), read)
        };
        let grown = [("tile/0/000.p/9", hashes(9))];
        assert_eq!(find(&grown, "tile/0/000.p/9"), Some(hashes(9)));
        assert_eq!(find(&grown, "tile/0/000.p/5"), Some(hashes(5)));
        for wanted in ["tile/0/000.p/10", "tile/0/000", "tile/0/001.p/5", "tile/1/000.p/5"] {
            assert_eq!(find(&grown, wanted), None, "{wanted}");
        }
        // A file must have the length that its path states. The narrowest tile that is wide enough is used, even if it is
        // malformed.
        assert_eq!(find(&[("tile/0/000.p/9", hashes(8))], "tile/0/000.p/5"), None);
        assert_eq!(find(&[("tile/0/000.p/5", hashes(4)), ("tile/0/000.p/9", hashes(9))], "tile/0/000.p/5"), None);
    }
}
