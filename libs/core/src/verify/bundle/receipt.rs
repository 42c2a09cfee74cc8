//! Receipts: records that publishers keep, with which a deleted event is detected.

use crate::event::Record;
use crate::verify::bundle::{Content, RecordError, read_record};
use crate::verify::{Trust, Verdict};

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

/// Parses a receipt and checks that a pinned key sealed it (`docs/spec/integrity.md#bundle-receipt`). Its event hash
/// then has to be found: see [`UnansweredReceipts::add`](crate::verify::UnansweredReceipts::add).
///
/// Payload, leaf and key window are not checked, because an acknowledged event has to exist in any case. A MAC is not
/// checked if the verifier lacks the secret.
pub fn read_receipt(bytes: &[u8], trust: &Trust) -> Result<Record, ReceiptError> {
    let Content::Record(record, _) = read_record(bytes, &trust.origin)?.content else {
        return Err(ReceiptError::Unsealed(Verdict::Format));
    };
    let Record { header, event_hash, mac, sig, .. } = record.as_ref();
    header.validate().map_err(|error| ReceiptError::Unsealed(error.verdict()))?;
    if header.hash() != *event_hash {
        return Err(ReceiptError::Unsealed(Verdict::EventHash));
    }
    trust.keyring.check(header, event_hash, mac, sig).map_err(ReceiptError::Unsealed)?;
    Ok(*record)
}
