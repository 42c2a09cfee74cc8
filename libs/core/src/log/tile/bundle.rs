//! Entry bundles: the leaves of a tile.

use crate::log::tile::{TileId, TileKind};

/// Why leaves are no bundle, or bytes are not the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum BundleError {
    #[error("this is a tile of hashes, not of entries")]
    Kind,
    #[error("a leaf of an entry bundle has up to 65,535 bytes")]
    Leaf,
    #[error("the entry bundle holds fewer or more leaves than it is wide")]
    Width,
    #[error("the entry bundle ends inside a leaf")]
    Cut,
}

/// The bundle of these leaves: of each its length in two bytes, big-endian, and the leaf.
pub fn encode_bundle(leaves: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, BundleError> {
    if !(1..=256).contains(&leaves.len()) {
        return Err(BundleError::Width);
    }
    let mut bundle = Vec::new();
    for leaf in leaves.iter().map(AsRef::as_ref) {
        let length = u16::try_from(leaf.len()).map_err(|_| BundleError::Leaf)?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(leaf);
    }
    Ok(bundle)
}

/// The leaves of a bundle, as many as it is wide. Each is taken as it is: what a leaf has to be, [`crate::event::Leaf::decode`]
/// says.
pub fn parse_bundle(id: TileId, bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    if id.kind() != TileKind::Entries {
        return Err(BundleError::Kind);
    }
    let (mut leaves, mut rest) = (Vec::new(), bundle);
    while !rest.is_empty() {
        if leaves.len() == usize::from(id.width()) {
            return Err(BundleError::Width);
        }
        let (length, after) = rest.split_first_chunk().ok_or(BundleError::Cut)?;
        let (leaf, after) = after.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(BundleError::Cut)?;
        leaves.push(leaf);
        rest = after;
    }
    if leaves.len() == usize::from(id.width()) { Ok(leaves) } else { Err(BundleError::Width) }
}
