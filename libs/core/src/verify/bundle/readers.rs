//! Readers of `events.jsonl`, and of receipts: records that publishers keep, with which a deleted event is detected.

use crate::event::Record;
use crate::verify::bundle::record::{BundledRecord, Content, RecordError, read_record};
use crate::verify::{Trust, Verdict};

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
    /// The tenant, plan and seq of the line with this number, from 1, are lower than those of the previous line.
    #[error("line {0} of events.jsonl is not in the order of tenant, plan and seq")]
    Order(u64),
}

/// Reasons why a receipt is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The receipt is not a record.
    #[error("the receipt is not a record")]
    Record(#[from] RecordError),
    /// No pinned key sealed the receipt.
    #[error("no pinned key sealed the receipt: {0}")]
    Unsealed(Verdict),
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
            return Err(LineError::Order(number));
        }
        self.previous = Some(place);
        Ok(record)
    }
}

/// Parses a receipt and checks that a pinned key sealed it (`docs/spec/integrity.md#bundle-receipt`). Its event hash
/// then has to be found: see [`UnansweredReceipts::add`](crate::verify::UnansweredReceipts::add).
///
/// Payload, leaf and key window are not checked, because an acknowledged event has to exist in any case.
pub fn read_receipt(bytes: &[u8], trust: &Trust) -> Result<Record, ReceiptError> {
    let Content::Record(record, _) = read_record(bytes, &trust.origin)?.content else {
        return Err(ReceiptError::Unsealed(Verdict::Format));
    };
    trust.check_seal(&record).map_err(ReceiptError::Unsealed)?;
    Ok(*record)
}
