//! A receipt: a record that its publisher was handed, by which a dropped event is found.

use crate::event::Record;
use crate::verify::bundle::{Content, RecordError, read_record};
use crate::verify::{Trust, Verdict};

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is no record.
    #[error("the receipt is no record")]
    Record(#[from] RecordError),
    /// The ledger's key did not seal it.
    #[error("no pinned key sealed the receipt: {0}")]
    Unsealed(Verdict),
}

/// The record of these bytes, if a pinned key sealed it: then its event hash must be found ([`super::super::Owed::add`]).
///
/// What it says of its payload, its leaf and the key's window is left aside: an event that was promised is owed whatever became
/// of it later. A MAC whose secret is not here is passed over.
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
