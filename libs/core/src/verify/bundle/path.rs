//! What a file of a bundle is.

use std::fmt;

use crate::log::tile::{TileId, TileKind};

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
    pub fn parse(path: &str) -> Option<BundlePath> {
        match path {
            "checkpoint" => Some(BundlePath::Checkpoint),
            "events.jsonl" => Some(BundlePath::Events),
            _ => match path.strip_prefix("anchors/") {
                Some(name) => (!name.is_empty()).then(|| BundlePath::Anchor(name.to_owned())),
                None => path.parse().ok().filter(is_of_hashes).map(BundlePath::Tile),
            },
        }
    }
}

fn is_of_hashes(tile: &TileId) -> bool {
    tile.kind() != TileKind::Entries
}

impl fmt::Display for BundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundlePath::Checkpoint => f.write_str("checkpoint"),
            BundlePath::Anchor(name) => write!(f, "anchors/{name}"),
            BundlePath::Tile(tile) => tile.fmt(f),
            BundlePath::Events => f.write_str("events.jsonl"),
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
}
