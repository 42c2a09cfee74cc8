//! The check of an event's seal, which comes before every other decision, for messages and ledger rows alike.

use sealbus_core::canonical::stored_matches;
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::partition::PlanKey;
use sealbus_core::seal::{Checked, Keyring};
use sealbus_core::verify::Verdict;

/// What a process needs to tell whether an event is authentic and which partition it belongs to.
#[derive(Clone)]
pub(crate) struct SealCheck {
    pub origin: String,
    pub partitions: u32,
    pub keyring: Keyring,
}

/// Where an event was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A message of the broker. A MAC whose secret this process does not have proves nothing, so such an event is
    /// refused and read from the ledger instead.
    Message,
    /// A row of the ledger.
    Ledger,
}

impl SealCheck {
    /// Checks that an event is what was sealed: its header, its seal, and the texts whose hashes the header holds.
    ///
    /// The error is the verdict that `sealbus verify` would give.
    pub(crate) fn check(&self, record: &Record, source: Source) -> Result<(), Verdict> {
        let header = &record.header;
        if header.validate().is_err() {
            return Err(Verdict::Format);
        }
        if header.origin != self.origin || header.hash() != record.event_hash {
            return Err(Verdict::EventHash);
        }
        if self.keyring.check(header, &record.event_hash, &record.mac, &record.sig)? == Checked::NoSecret
            && source == Source::Message
        {
            return Err(Verdict::UntrustedKey);
        }
        let payload_matches = match (header.payload_mode, &record.payload) {
            (PayloadMode::HashOnly, payload) => payload.is_none(),
            (PayloadMode::Plain | PayloadMode::Encrypted, None) => false,
            (PayloadMode::Plain | PayloadMode::Encrypted, Some(payload)) => {
                stored_matches(payload, &header.payload_hash)
            }
        };
        if !payload_matches {
            return Err(Verdict::PayloadHash);
        }
        if !stored_matches(&record.metadata, &header.metadata_hash) {
            return Err(Verdict::MetadataHash);
        }
        Ok(())
    }

    /// Returns the partition that a plan belongs to.
    pub(crate) fn partition(&self, tenant: &str, plan: &str) -> u32 {
        PlanKey::of(tenant, plan).partition(self.partitions)
    }
}
