//! The reader of `events.jsonl`.

use crate::verify::bundle::record::{BundledRecord, RecordError, read_record};

/// Reads the records of a bundle line by line, and checks their order: by the bytes of tenant and plan, then by seq.
#[derive(Clone, Debug)]
pub struct EventLines {
    origin: String,
    /// The number of the line that was read last.
    number: u64,
    /// The tenant, plan and seq of the line that was read last; `None` before the first line.
    previous: Option<(String, String, u64)>,
}

/// An error in a line. The line cannot be attributed to an event, so the whole bundle counts as unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line is not a record.
    #[error("line {number} of events.jsonl")]
    Record {
        /// The line number, from 1.
        number: u64,
        /// The reason why the line is not a record.
        source: RecordError,
    },
    /// The tenant, plan and seq of the line are lower than those of the previous line.
    #[error("line {number} of events.jsonl is not in the order of tenant, plan and seq")]
    Order {
        /// The line number, from 1.
        number: u64,
    },
}

impl EventLines {
    /// Creates a reader that is at the first line. `origin` is the pinned origin.
    pub fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), number: 0, previous: None }
    }

    /// Parses the next line, with or without its line break. Fails if it is longer than
    /// [`MAX_LINE_BYTES`](super::MAX_LINE_BYTES), is not a record, or is out of order.
    pub fn read(&mut self, line: &[u8]) -> Result<BundledRecord, LineError> {
        self.number += 1;
        let number = self.number;
        let record = read_record(line, &self.origin).map_err(|source| LineError::Record { number, source })?;
        let place = (record.tenant.clone(), record.plan.clone(), record.seq);
        if self.previous.as_ref().is_some_and(|previous| place < *previous) {
            return Err(LineError::Order { number });
        }
        self.previous = Some(place);
        Ok(record)
    }
}
