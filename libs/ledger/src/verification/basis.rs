//! The facts that events are checked against.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealbus_core::event::Record;
use sealbus_core::seal::Keyring;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{CheckedLog, Trust};

/// The facts that events are checked against, shared by all workers.
#[derive(Debug)]
pub struct Basis {
    /// The keys that count, and the erasures.
    pub trust: Trust,
    /// The log, whose notes and tiles were checked; `None` to check only chains.
    pub log: Option<Arc<CheckedLog>>,
    /// Only events with this log index or a higher one are read, and events that are not sealed; 0 for all.
    pub since: u64,
    /// Leaves with this log index or a higher one are ignored, because sealing goes on while the ledger is read.
    pub limit: u64,
    /// Events that were recorded later and that no anchor covers are ignored: they came after the verification began.
    pub until: Option<Timestamp>,
    /// The keys under which data keys are wrapped, if payloads are to be opened.
    pub opens: Option<Keyring>,
    read: AtomicU64,
}

impl Basis {
    /// Returns a basis for checking only chains.
    pub fn chains(trust: Trust) -> Self {
        Self { trust, log: None, since: 0, limit: u64::MAX, until: None, opens: None, read: AtomicU64::new(0) }
    }

    /// Returns a basis for checking the chains against the log, as far as the checkpoint of the log covers it.
    pub fn with_log(trust: Trust, log: Arc<CheckedLog>) -> Self {
        Self { limit: log.size(), log: Some(log), ..Self::chains(trust) }
    }

    /// Returns the number of events that all workers have read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn count_read(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the log index if it is not to be ignored.
    pub(super) fn covered(&self, log_index: Option<u64>) -> Option<u64> {
        log_index.filter(|index| *index < self.limit)
    }

    /// Returns whether the record is to be ignored because it came after the verification began. Its leaf, if it has one, then
    /// belongs to an event.
    pub(super) fn ignores(&self, record: &Record) -> bool {
        let anchored = self.log.as_ref().map_or(0, |log| log.anchored());
        let later = self.until.is_some_and(|until| record.header.recorded > until)
            && record.log_index.is_none_or(|index| index >= anchored);
        if let (true, Some(log), Some(index)) = (later, &self.log, record.log_index) {
            log.claim(index);
        }
        later
    }
}
