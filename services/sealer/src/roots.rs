//! The roots that this sealer stored between two anchored checkpoints, and their deletion.
//!
//! Each sealing transaction stores a root with a signed note, many in a second. Nothing needs them once a later one is anchored
//! (docs/spec/protocol.md#seal-roots). Roots are deleted by their exact sizes: another sealer may have anchored one of its own in
//! between.

use std::collections::VecDeque;

use sealbus_core::error_chain;
use sealbus_ledger::Ledger;
use tokio::sync::mpsc;

/// The maximum number of roots in memory. If no checkpoint is anchored for so long that there are more, these are kept in the ledger.
const MAX_ROOTS: usize = 100_000;
/// The number of roots that one statement deletes.
const BATCH: usize = 1_000;

/// Records the sizes of the stored trees, in the order in which they are stored.
#[derive(Debug)]
pub(crate) struct StoredRoots(mpsc::Sender<u64>);

/// The roots that are stored and were neither anchored nor deleted.
#[derive(Debug)]
pub(crate) struct UnanchoredRoots {
    stored: mpsc::Receiver<u64>,
    sizes: VecDeque<u64>,
}

/// Returns both ends of the record.
pub(crate) fn record() -> (StoredRoots, UnanchoredRoots) {
    let (sender, stored) = mpsc::channel(MAX_ROOTS);
    (StoredRoots(sender), UnanchoredRoots { stored, sizes: VecDeque::new() })
}

impl StoredRoots {
    /// Records that the root of a tree of this size was stored.
    pub(crate) fn push(&self, size: u64) {
        // A full record, and one whose receiver has ended, means that the root is kept.
        let _ = self.0.try_send(size);
    }
}

impl UnanchoredRoots {
    /// Deletes the roots below an anchored one. If the ledger fails, they are kept, which costs nothing but their space.
    pub(crate) async fn delete_below(&mut self, anchored: u64, ledger: &Ledger) {
        let sizes = self.take_below(anchored);
        for batch in sizes.chunks(BATCH) {
            if let Err(error) = ledger.log().delete_roots(batch).await {
                tracing::warn!(error = %error_chain(&error), "roots between anchored checkpoints cannot be deleted and are kept");
                return;
            }
        }
    }

    /// Takes the roots below an anchored one, and forgets the anchored one.
    fn take_below(&mut self, anchored: u64) -> Vec<u64> {
        while let Ok(size) = self.stored.try_recv() {
            self.sizes.push_back(size);
        }
        let mut below = Vec::new();
        while let Some(size) = self.sizes.pop_front_if(|size| *size <= anchored) {
            below.extend(Some(size).filter(|size| *size < anchored));
        }
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_between_anchored_ones_are_taken_once() {
        let (stored, mut unanchored) = record();
        for size in [3, 5, 8, 9] {
            stored.push(size);
        }
        assert_eq!(unanchored.take_below(8), [3, 5]);
        assert_eq!(unanchored.take_below(8), Vec::<u64>::new(), "a heartbeat of the same tree deletes nothing");
        for size in [12, 20] {
            stored.push(size);
        }
        assert_eq!(unanchored.take_below(10), [9], "a root that another sealer anchored was not stored here");
        assert_eq!(unanchored.take_below(20), [12]);
    }

    #[test]
    fn a_record_that_is_full_keeps_the_other_roots() {
        let (stored, mut unanchored) = record();
        for size in 1..=MAX_ROOTS as u64 + 5 {
            stored.push(size);
        }
        assert_eq!(unanchored.take_below(u64::MAX).len(), MAX_ROOTS);
    }
}
