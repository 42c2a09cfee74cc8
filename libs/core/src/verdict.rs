//! Verdicts, the names of failed checks (`docs/spec/integrity.md#verify-first`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares each verdict once. Their order is the order of the checks.
macro_rules! verdicts {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The name of a failed check. Verdicts are ordered like the checks: the first check of an event that fails is
        /// its verdict.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Verdict {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Verdict {
            /// Returns the verdict's name, for example `SEQ_GAP`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Verdict::$name => $text,)*
                }
            }
        }
    };
}

verdicts! {
    /// A note is malformed, of another origin, or not signed by the log.
    Checkpoint = "CHECKPOINT",
    /// Two anchors have the same size and different roots.
    SplitView = "SPLIT_VIEW",
    /// The tree does not continue an anchor.
    Inconsistent = "INCONSISTENT",
    /// A tile is missing, cut, or not the hashes of the tiles below.
    Tile = "TILE",
    /// Too few witnesses cosigned the newest anchor.
    Quorum = "QUORUM",
    /// The newest trusted time is too old or absent.
    Stale = "STALE",
    /// A plan has a second record with the same seq.
    Fork = "FORK",
    /// The first records of a plan are missing, or `prev` of its first event is not the plan's genesis.
    Genesis = "GENESIS",
    /// The record is missing, although earlier records of the plan are present.
    SeqGap = "SEQ_GAP",
    /// A field is outside its limits, or a record is malformed.
    Format = "FORMAT",
    /// `prev` is not the event hash of the predecessor.
    Link = "LINK",
    /// The seal is not of the key's suite, or the suite is lower than the predecessor's.
    Suite = "SUITE",
    /// The fields do not hash to the event hash.
    EventHash = "EVENT_HASH",
    /// The key is not pinned.
    UntrustedKey = "UNTRUSTED_KEY",
    /// The key does not count at the log index of the event.
    KeyWindow = "KEY_WINDOW",
    /// The MAC is wrong.
    Mac = "MAC",
    /// The signature is wrong.
    Signature = "SIGNATURE",
    /// The stored payload does not match the sealed hash.
    PayloadHash = "PAYLOAD_HASH",
    /// The stored metadata does not match the sealed hash.
    MetadataHash = "METADATA_HASH",
    /// `prev_hash` of scheme v1 is not the predecessor's v1 signature.
    V1PrevHash = "V1_PREV_HASH",
    /// `payload_hash` of scheme v1 is not the sealed payload hash.
    V1PayloadHash = "V1_PAYLOAD_HASH",
    /// The v1 signature is wrong, or scheme v1 begins or ends inside a plan.
    V1Signature = "V1_SIGNATURE",
    /// The event has no leaf, although later events have one.
    Unsealed = "UNSEALED",
    /// The proof of the event is missing or invalid.
    Proof = "PROOF",
    /// The leaf at the event's log index is of another event.
    LeafMismatch = "LEAF_MISMATCH",
    /// The log index is not above the predecessor's.
    Order = "ORDER",
    /// Recorded before the predecessor, or later than a trusted time over the leaf allows.
    Time = "TIME",
    /// The data key is missing, and no erasure names it.
    KeyLost = "KEY_LOST",
    /// The envelope was made with another data key.
    Commitment = "COMMITMENT",
    /// The envelope belongs to another event or was changed.
    Aad = "AAD",
    /// No record claims the leaf.
    MissingLeaf = "MISSING_LEAF",
    /// No record has the event hash of a receipt or of a seal queue row.
    Missing = "MISSING",
    /// No anchor covers the event.
    Unanchored = "UNANCHORED",
    /// An erasure event names the data key of the payload.
    Erased = "ERASED",
    /// A projection differs from the state that its events produce.
    Projection = "PROJECTION",
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
