//! A note together with the checkpoint that was verified from it.

use crate::hash::Hash;
use crate::log::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::log::note::Note;

/// A note that its log signed.
#[derive(Clone, Debug)]
pub(super) struct VerifiedNote {
    pub(super) note: Note,
    pub(super) signed: SignedCheckpoint,
}

impl VerifiedNote {
    /// Returns the checkpoint that the note states.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        self.signed.checkpoint()
    }

    /// Returns the size and the root of the tree.
    pub(super) fn size_and_root(&self) -> (u64, Hash) {
        (self.checkpoint().size(), self.checkpoint().root())
    }

    /// Returns the earliest and the latest trusted time on the note, in seconds since 1970, or `None` if the note has no
    /// trusted time. `now` is the current time of the verifier's clock.
    pub(super) fn times(&self, now: u64) -> Option<(u64, u64)> {
        let times = || self.signed.cosignatures(now).map(|by| by.time);
        times().min().zip(times().max())
    }
}
