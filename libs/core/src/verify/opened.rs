//! A note that its log signed, with what it says.

use crate::hash::Hash;
use crate::log::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::log::note::Note;

/// A note that its log signed.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) note: Note,
    pub(super) signed: SignedCheckpoint,
}

impl Opened {
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        self.signed.checkpoint()
    }

    pub(super) fn size_and_root(&self) -> (u64, Hash) {
        (self.checkpoint().size(), self.checkpoint().root())
    }

    /// When first, and when last, a trusted key says that it saw the tree.
    pub(super) fn times(&self, now: u64) -> Option<(u64, u64)> {
        let times = || self.signed.cosignatures(now).map(|by| by.time);
        times().min().zip(times().max())
    }
}
