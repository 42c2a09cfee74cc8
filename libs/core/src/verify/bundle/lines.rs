//! `events.jsonl`, line by line.

use crate::verify::bundle::record::{BundledRecord, RecordError, read_record};

/// Reads the records of a bundle, which stand by tenant, plan and seq, byte by byte.
#[derive(Clone, Debug)]
pub struct EventLines {
    origin: String,
    /// The line read last.
    number: u64,
    before: Option<(String, String, u64)>,
}

/// A line for which no place can be blamed: the bundle cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is no record.
    #[error("line {number} of events.jsonl")]
    Record {
        /// Its number, from 1.
        number: u64,
        /// Why.
        source: RecordError,
    },
    /// It stands behind one that it belongs before.
    #[error("line {number} of events.jsonl is not in the order of tenant, plan and seq")]
    Order {
        /// Its number, from 1.
        number: u64,
    },
}

impl EventLines {
    /// Begins with the first line. `origin` is the one that the verifier pins.
    pub fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), number: 0, before: None }
    }

    /// Reads the next line. One of more than [`super::MAX_LINE`] bytes is refused; who reads a file need not read on.
    pub fn read(&mut self, line: &[u8]) -> Result<BundledRecord, LineError> {
        self.number += 1;
        let number = self.number;
        let record = read_record(line, &self.origin).map_err(|source| LineError::Record { number, source })?;
        let place = (record.tenant.clone(), record.plan.clone(), record.seq);
        if self.before.as_ref().is_some_and(|before| place < *before) {
            return Err(LineError::Order { number });
        }
        self.before = Some(place);
        Ok(record)
    }
}
