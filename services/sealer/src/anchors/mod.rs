//! Anchors: places out of the database's reach that keep every checkpoint they are given.
//!
//! What an anchor holds is what makes a rewritten or rolled-back log visible: a sealer reads it before it signs anything, and
//! `verify` compares the tree with all of it.

mod file;
mod stream;

use std::sync::Arc;

use async_trait::async_trait;
use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use sealbus_core::log::note::{Note, VerifierKey};

pub use self::file::AnchorFile;
pub use self::stream::AnchorStream;

/// A place that keeps checkpoints.
#[async_trait]
pub trait Anchor: Send + Sync {
    /// What an operator calls it.
    fn name(&self) -> String;

    /// Keeps a note; it is there for good once this has come back. To keep it twice does no harm.
    async fn keep(&self, note: &Note) -> Result<(), AnchorError>;

    /// Newest notes, as they stand there: the last few where `all` is false.
    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError>;
}

/// An anchor could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AnchorError(pub String);

/// What anchors hold of a log.
#[derive(Debug, Default)]
pub struct Held {
    /// The largest checkpoint of the log; none where they hold none.
    pub newest: Option<Checkpoint>,
    /// Anchors that could be read.
    pub readable: usize,
    /// Those that could not, and why.
    pub unreadable: Vec<String>,
}

/// Reads the newest checkpoint that the log's own key signed. Notes of other logs, and what is none, are passed over.
pub async fn newest(anchors: &[Arc<dyn Anchor>], origin: &str, log_key: &VerifierKey) -> Held {
    let mut held = Held::default();
    for anchor in anchors {
        match anchor.notes(false).await {
            Ok(notes) => {
                held.readable += 1;
                let opened = notes.iter().filter_map(|note| open(note, origin, log_key));
                for checkpoint in opened.map(|signed| signed.checkpoint().clone()) {
                    if held.newest.as_ref().is_none_or(|newest| newest.size() < checkpoint.size()) {
                        held.newest = Some(checkpoint);
                    }
                }
            }
            Err(error) => held.unreadable.push(format!("{}: {error}", anchor.name())),
        }
    }
    held
}

fn open(note: &[u8], origin: &str, log_key: &VerifierKey) -> Option<SignedCheckpoint> {
    let note = Note::parse(note).ok()?;
    SignedCheckpoint::open(&note, origin, std::slice::from_ref(log_key)).ok()
}
