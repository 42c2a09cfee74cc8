//! The check of an event's seal, which comes before every other decision, for messages and ledger rows alike.

use sealbus_core::canonical::stored_matches;
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::seal::{Checked, Keyring};
use sealbus_core::verify::Verdict;

/// Where an event was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A message of the broker. A MAC whose secret this process does not have proves nothing, so such an event is
    /// refused and read from the ledger instead.
    Message,
    /// A row of the ledger.
    Ledger,
}

/// Checks that an event is what was sealed: its header, its seal, and the texts whose hashes the header holds.
///
/// The error is the verdict that `sealbus verify` would give.
pub(crate) fn check_seal(record: &Record, source: Source, origin: &str, keyring: &Keyring) -> Result<(), Verdict> {
    let header = &record.header;
    if header.validate().is_err() {
        return Err(Verdict::Format);
    }
    if header.origin != origin || header.hash() != record.event_hash {
        return Err(Verdict::EventHash);
    }
    let checked = keyring.check(header, &record.event_hash, &record.mac, &record.sig)?;
    if checked == Checked::NoSecret && source == Source::Message {
        return Err(Verdict::UntrustedKey);
    }
    let hash_only = header.payload_mode == PayloadMode::HashOnly;
    let matches = |payload: &String| !hash_only && stored_matches(payload, &header.payload_hash);
    if !record.payload.as_ref().map_or(hash_only, matches) {
        return Err(Verdict::PayloadHash);
    }
    if !stored_matches(&record.metadata, &header.metadata_hash) {
        return Err(Verdict::MetadataHash);
    }
    Ok(())
}
