//! Entry bundles: the leaves below a tile of level 0, each with its length as a big-endian u16 before it.

use crate::log::tile::{FULL_WIDTH, TileId, TileKind};

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
