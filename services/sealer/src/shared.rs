//! What the sealing and the anchoring loop share.

use std::sync::atomic::AtomicBool;

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_ledger::log::SealingBasis;
use tokio::sync::watch;

/// What the sealing and the anchoring loop share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// `None` while nothing may be signed.
    pub anchored: watch::Sender<Option<Anchored>>,
    /// The newest checkpoint that this process has signed, in either loop.
    pub signed: watch::Sender<Option<StoredCheckpoint>>,
    /// Whether a heartbeat has found the database on another basis. The next sealing transaction then runs even if nothing is
    /// queued, and compares the basis.
    pub basis_changed: AtomicBool,
}

/// A signed checkpoint of a tree that is stored in the ledger.
#[derive(Clone, Debug)]
pub(crate) struct StoredCheckpoint {
    pub checkpoint: Checkpoint,
    /// The note of the checkpoint, with the log's signature.
    pub note: Note,
}

impl StoredCheckpoint {
    /// Parses the text of a note that the ledger has signed.
    pub(crate) fn new(note: Note) -> Self {
        Self { checkpoint: note.text().parse().expect("the ledger signs checkpoints only"), note }
    }
}

/// What signatures rely on.
#[derive(Clone, Debug)]
pub(crate) struct Anchored {
    /// The newest checkpoint that is known to be anchored.
    pub checkpoint: Checkpoint,
    /// The server and the tree for which that is known.
    pub basis: SealingBasis,
}
