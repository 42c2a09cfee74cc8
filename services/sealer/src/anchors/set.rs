//! The anchors of a sealer, which keep a checkpoint at the same time.

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_core::log::note::Note;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::{Anchor, AnchorError, TIMEOUT};
use crate::Metrics;

/// How long a checkpoint that one anchor has kept waits for the other anchors.
const OTHERS_GRACE: Duration = Duration::from_millis(500);

/// The anchors of a sealer. Each keeps one checkpoint at a time, so that one that hangs delays no other.
pub(crate) struct AnchorSet {
    anchors: Vec<Entry>,
    metrics: Metrics,
}

struct Entry {
    anchor: Arc<dyn Anchor>,
    /// Locked while the anchor keeps a checkpoint.
    in_flight: Arc<Mutex<()>>,
}

/// A checkpoint that was given to the anchors. It receives a message from each anchor that has kept the checkpoint.
pub(crate) struct GivenCheckpoint(mpsc::Receiver<()>);

impl AnchorSet {
    /// Returns the anchors, of which none keeps a checkpoint yet.
    pub(crate) fn new(anchors: &[Arc<dyn Anchor>], metrics: Metrics) -> Self {
        let entry = |anchor: &Arc<dyn Anchor>| Entry { anchor: Arc::clone(anchor), in_flight: Arc::default() };
        Self { anchors: anchors.iter().map(entry).collect(), metrics }
    }

    /// Gives a checkpoint of this size to each anchor that is not busy with an earlier one. Counts and logs each anchor that does not
    /// keep it, also after the result was dropped.
    pub(crate) fn keep(&self, size: u64, note: &Note) -> GivenCheckpoint {
        let (sender, kept) = mpsc::channel(self.anchors.len().max(1));
        for Entry { anchor, in_flight } in &self.anchors {
            let (anchor, note, sender, metrics) =
                (Arc::clone(anchor), note.clone(), sender.clone(), self.metrics.clone());
            let in_flight = Arc::clone(in_flight).try_lock_owned();
            tokio::spawn(async move {
                let result = match in_flight {
                    Ok(_in_flight) => timeout(TIMEOUT, anchor.keep(&note)).await.unwrap_or(Err(AnchorError::TimedOut)),
                    Err(_) => Err(AnchorError::Busy),
                };
                match result {
                    // The receiver is gone if the checkpoint has waited long enough for this anchor.
                    Ok(()) => _ = sender.try_send(()),
                    Err(error) => {
                        metrics.unanchored.inc();
                        tracing::warn!(
                            anchor = anchor.name(),
                            size,
                            error = %error_chain(&error),
                            "anchor failed to keep a checkpoint; it gets the next one too"
                        );
                    }
                }
            });
        }
        GivenCheckpoint(kept)
    }
}

impl GivenCheckpoint {
    /// Waits until one anchor has kept the checkpoint. Returns `false` if none has.
    pub(crate) async fn is_kept(&mut self) -> bool {
        self.0.recv().await.is_some()
    }

    /// Waits until the other anchors have kept it too or failed, for at most [`OTHERS_GRACE`].
    pub(crate) async fn wait_for_others(mut self) {
        let _ = timeout(OTHERS_GRACE, async { while self.0.recv().await.is_some() {} }).await;
    }
}
