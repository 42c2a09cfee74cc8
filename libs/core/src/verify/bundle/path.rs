//! What a file of a bundle is.

use std::fmt;

use crate::log::tile::{FULL_WIDTH, HashTile, TileId, TileKind};

/// A file of a bundle.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BundlePath {
    /// `checkpoint`: the newest note.
    Checkpoint,
    /// `anchors/<n>`: an anchored note, by its name.
    Anchor(String),
    /// `tile/<L>/<N>[.p/<W>]`: a hash tile. A bundle that has one is of a whole log, one that has none is of plans.
    Tile(TileId),
    /// `events.jsonl`: the records.
    Events,
}

impl BundlePath {
    /// What the file at this path is; `None` of one that is no part of a bundle.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "checkpoint" => Some(Self::Checkpoint),
            "events.jsonl" => Some(Self::Events),
            _ => match path.strip_prefix("anchors/") {
                Some(name) => (!name.is_empty()).then(|| Self::Anchor(name.to_owned())),
                None => path.parse().ok().filter(is_of_hashes).map(BundlePath::Tile),
            },
        }
    }
}

/// The bytes of a hash tile, as [`crate::verify::TreeCheck::take`] wants them, from files that `read` finds by their paths:
/// the tile itself, or the beginning of a wider one. Where an older anchor stands in for the checkpoint, its partial tiles have
/// grown. `None` where the file that is found is not as long as its name says.
pub fn find_tile(id: TileId, mut read: impl FnMut(&str) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut wider = (id.width()..=FULL_WIDTH).filter_map(|width| TileId::new(id.kind(), id.n(), width));
    let (found, bytes) = wider.find_map(|wider| Some((wider, read(&wider.to_string())?)))?;
    HashTile::parse(found, &bytes).ok()?;
    Some(bytes[..32 * usize::from(id.width())].to_vec())
}

fn is_of_hashes(tile: &TileId) -> bool {
    tile.kind() != TileKind::Entries
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
    fn a_bundles_files_are_known_by_their_paths() {
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
        let among = |files: &[(&str, Vec<u8>)], wanted: &str| {
            let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.clone());
            find_tile(id(wanted), read)
        };
        let grown = [("tile/0/000.p/9", hashes(9))];
        assert_eq!(among(&grown, "tile/0/000.p/9"), Some(hashes(9)));
        assert_eq!(among(&grown, "tile/0/000.p/5"), Some(hashes(5)));
        for wanted in ["tile/0/000.p/10", "tile/0/000", "tile/0/001.p/5", "tile/1/000.p/5"] {
            assert_eq!(among(&grown, wanted), None, "{wanted}");
        }
        // What is there has to be what it says, and the narrowest counts.
        assert_eq!(among(&[("tile/0/000.p/9", hashes(8))], "tile/0/000.p/5"), None);
        assert_eq!(among(&[("tile/0/000.p/5", hashes(4)), ("tile/0/000.p/9", hashes(9))], "tile/0/000.p/5"), None);
    }
}
