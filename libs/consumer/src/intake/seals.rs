//! The seal is checked before anything else is decided, of messages and of what is read from the ledger alike.

use sealbus_core::canonical::stored_matches;
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::partition::PlanKey;
use sealbus_core::seal::{Checked, Keyring};
use sealbus_core::verify::Verdict;

/// What a process trusts.
#[derive(Clone)]
pub(crate) struct Intake {
    pub origin: String,
    pub partitions: u32,
    pub keyring: Keyring,
}

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The broker. A MAC whose secret is not here proves nothing: the ledger's event is read instead.
    Message,
    /// The ledger.
    Ledger,
}

impl Intake {
    /// Whether an event is what was sealed: its header, its seal, and the texts that the header holds the hashes of.
    /// Gives the verdict that `verify` would.
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
        let payload_holds = match (header.payload_mode, &record.payload) {
            (PayloadMode::HashOnly, payload) => payload.is_none(),
            (PayloadMode::Plain | PayloadMode::Encrypted, None) => false,
            (PayloadMode::Plain | PayloadMode::Encrypted, Some(payload)) => {
                stored_matches(payload, &header.payload_hash)
            }
        };
        if !payload_holds {
            return Err(Verdict::PayloadHash);
        }
        if !stored_matches(&record.metadata, &header.metadata_hash) {
            return Err(Verdict::MetadataHash);
        }
        Ok(())
    }

    /// The partition that a plan is worked in.
    pub(crate) fn partition(&self, tenant: &str, plan: &str) -> u32 {
        PlanKey::of(tenant, plan).partition(self.partitions)
    }
}
