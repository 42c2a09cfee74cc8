//! How much a page may hold, whatever its limit says.

use sealbus_core::event::Record;

/// Records that are read at a time.
pub(crate) const CHUNK: u32 = 100;
/// Bytes of payloads and metadata after which a page ends before its limit.
pub(crate) const BYTES: usize = 4 * 1024 * 1024;

/// Bytes of payloads and metadata of these.
pub(crate) fn weight(records: &[Record]) -> usize {
    records.iter().map(|record| record.metadata.len() + record.payload.as_ref().map_or(0, String::len)).sum()
}
