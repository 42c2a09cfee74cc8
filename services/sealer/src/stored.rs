//! What sealing hands to anchoring.

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;

/// A note that is signed and in the ledger, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub checkpoint: Checkpoint,
    pub note: Note,
}
