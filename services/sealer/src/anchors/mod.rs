//! Anchors: places outside the database's control that keep every checkpoint that they are given.
//!
//! A log that was rewritten or rolled back is detected because it does not continue what the anchors keep. A sealer
//! reads them before it signs anything, and `sealbus verify` compares the log with all of their checkpoints.

mod file;
mod set;

use std::io;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use sealbus_broker::{Broker, BrokerError, PublishError};
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use sealbus_core::log::note::{Note, VerifierKey};
use tokio::time::timeout;

pub use self::file::AnchorFile;
pub(crate) use self::set::AnchorSet;

/// The number of recent notes in which the newest is searched. Several sealers may have anchored theirs in another order.
const RECENT_NOTES: usize = 32;

/// How long an anchor may take to return its recent notes, or to keep one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A place that keeps checkpoints.
#[async_trait]
pub trait Anchor: Send + Sync {
    /// The name for operators, such as `file /var/lib/anchors`.
    fn name(&self) -> String;

    /// Keeps a note. It is durable when this returns. Keeping a note twice is harmless.
    async fn keep(&self, note: &Note) -> Result<(), AnchorError>;

    /// Reads notes, oldest first: all of them, or only the last 32. They are not verified.
    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError>;
}

/// The reason why an anchor could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The file of an [`AnchorFile`].
    #[error("cannot access the anchor file {}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Reading the stream of an [`AnchorStream`].
    #[error(transparent)]
    Read(#[from] BrokerError),
    /// Writing to the stream of an [`AnchorStream`].
    #[error(transparent)]
    Write(#[from] PublishError),
    /// The anchor did not answer in time. It may keep the note later.
    #[error("no answer within {TIMEOUT:?}")]
    TimedOut,
    /// The anchor was not given the note.
    #[error("the anchor has not answered about an earlier checkpoint yet")]
    Busy,
}

/// An anchor on JetStream: the stream `SEALBUS_CHECKPOINTS`, which denies deletion and purging.
pub struct AnchorStream(Broker);

impl AnchorStream {
    /// The name for operators.
    pub const NAME: &str = "stream SEALBUS_CHECKPOINTS";

    /// Returns the anchor on a broker.
    pub fn new(broker: Broker) -> Self {
        Self(broker)
    }
}

#[async_trait]
impl Anchor for AnchorStream {
    fn name(&self) -> String {
        Self::NAME.to_owned()
    }

    async fn keep(&self, note: &Note) -> Result<(), AnchorError> {
        let text = note.to_string();
        let message_id = Hash::of(text.as_bytes()).to_string();
        self.0.anchor_checkpoint(text, &message_id).await?;
        Ok(())
    }

    async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, AnchorError> {
        Ok(self.0.anchored_checkpoints(if all { u64::MAX } else { RECENT_NOTES as u64 }).await?)
    }
}

/// What the anchors hold of a log.
#[derive(Debug, Default)]
pub struct Contents {
    /// The largest checkpoint, or `None` if they hold none.
    pub newest: Option<Checkpoint>,
    /// The number of anchors that could be read.
    pub readable: usize,
    /// The names and errors of the anchors that could not be read.
    pub unreadable: Vec<String>,
}

/// Reads all anchors at the same time, and returns the newest checkpoint that was signed by the log's key. Other notes are ignored.
/// An anchor that does not answer within 10 s counts as unreadable.
pub async fn newest(anchors: &[Arc<dyn Anchor>], origin: &str, log_key: &VerifierKey) -> Contents {
    let open = |note: &Vec<u8>| SignedCheckpoint::open(&Note::parse(note).ok()?, origin, slice::from_ref(log_key)).ok();
    let reads = join_all(anchors.iter().map(|anchor| timeout(TIMEOUT, anchor.notes(false)))).await;
    let mut contents = Contents::default();
    for (anchor, read) in anchors.iter().zip(reads) {
        match read {
            Ok(Ok(notes)) => {
                contents.readable += 1;
                for signed in notes.iter().filter_map(open) {
                    let checkpoint = signed.checkpoint();
                    if contents.newest.as_ref().is_none_or(|newest| newest.size() < checkpoint.size()) {
                        contents.newest = Some(checkpoint.clone());
                    }
                }
            }
            Ok(Err(error)) => contents.unreadable.push(format!("{}: {}", anchor.name(), error_chain(&error))),
            Err(_) => contents.unreadable.push(format!("{}: no answer in time", anchor.name())),
        }
    }
    contents
}
