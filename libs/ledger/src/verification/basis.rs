//! What a verification compares events with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealbus_core::event::Record;
use sealbus_core::seal::Keyring;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{CheckedLog, Trust};

/// What is believed before the first event is read. Shared by all that read.
#[derive(Debug)]
pub struct Basis {
    /// Which keys count, and what was erased.
    pub trust: Trust,
    /// The log, its notes and tiles checked. None: chains alone.
    pub log: Option<Arc<CheckedLog>>,
    /// Only what came into the log from this index on is read, and what has no leaf yet; 0 for all.
    pub since: u64,
    /// Leaves from this index on are as if they were not there yet: sealing goes on while a ledger is read.
    pub limit: u64,
    /// Events that were recorded later, and that no anchor covers, are passed over: they came after the verification began.
    pub until: Option<Timestamp>,
    /// The keys that data keys are wrapped under, where payloads are to be opened.
    pub opens: Option<Keyring>,
    read: AtomicU64,
}

impl Basis {
    /// The chains alone, by these keys.
    pub fn chains(trust: Trust) -> Self {
        Self { trust, log: None, since: 0, limit: u64::MAX, until: None, opens: None, read: AtomicU64::new(0) }
    }

    /// The chains and the log, as far as its checkpoint covers it.
    pub fn with_log(trust: Trust, log: Arc<CheckedLog>) -> Self {
        Self { limit: log.size(), log: Some(log), ..Self::chains(trust) }
    }

    /// Events read so far, by all that read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn count_read(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn covered(&self, log_index: Option<u64>) -> Option<u64> {
        log_index.filter(|index| *index < self.limit)
    }

    /// Whether the record came after the verification began: then its leaf, if it has one, counts as claimed.
    pub(super) fn passes_over(&self, record: &Record) -> bool {
        let anchored = self.log.as_ref().map_or(0, |log| log.anchored());
        let later = self.until.is_some_and(|until| record.header.recorded > until)
            && record.log_index.is_none_or(|index| index >= anchored);
        if let (true, Some(log), Some(index)) = (later, &self.log, record.log_index) {
            log.claim(index);
        }
        later
    }
}
