//! The verdicts, by INTEGRITY's names.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the verdicts once: their order is the order of the checks.
macro_rules! verdicts {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a check found. Ordered as the checks are made: of one event the first that fails is its verdict.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Verdict {
            $($(#[$doc])* $name,)*
        }

        impl Verdict {
            /// INTEGRITY's name: `SEQ_GAP`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Verdict::$name => $text,)*
                }
            }

            /// The verdict of INTEGRITY's name.
            pub fn from_name(name: &str) -> Option<Verdict> {
                match name {
                    $($text => Some(Verdict::$name),)*
                    _ => None,
                }
            }
        }
    };
}

verdicts! {
    /// A checkpoint that does not parse, of another origin, or not signed by the log.
    Checkpoint = "CHECKPOINT",
    /// Two anchors of one size with two roots.
    SplitView = "SPLIT_VIEW",
    /// An anchor that the tree does not continue.
    Inconsistent = "INCONSISTENT",
    /// A tile that is missing, cut, or not the hash of those below.
    Tile = "TILE",
    /// Too few witnesses.
    Quorum = "QUORUM",
    /// The newest trusted time is too old.
    Stale = "STALE",
    /// A second record for one place in a plan.
    Fork = "FORK",
    /// The plan's beginning is missing, or its first event does not begin it.
    Genesis = "GENESIS",
    /// Nothing stands at this place of the plan, though something does before it.
    SeqGap = "SEQ_GAP",
    /// A field outside its limits.
    Format = "FORMAT",
    /// `prev` is not the hash of the event before.
    Link = "LINK",
    /// The seal is not of the key's suite, or the plan's suite fell.
    Suite = "SUITE",
    /// The fields do not hash to the event's hash.
    EventHash = "EVENT_HASH",
    /// The key is not one that the verifier trusts.
    UntrustedKey = "UNTRUSTED_KEY",
    /// The key did not count at this place of the log.
    KeyWindow = "KEY_WINDOW",
    /// The MAC is not the event's.
    Mac = "MAC",
    /// The signature is not the event's.
    Signature = "SIGNATURE",
    /// The stored payload is not the sealed one.
    PayloadHash = "PAYLOAD_HASH",
    /// The stored metadata are not the sealed ones.
    MetadataHash = "METADATA_HASH",
    /// The older contract's link is not the signature before.
    V1PrevHash = "V1_PREV_HASH",
    /// The older contract's payload hash is not the sealed one.
    V1PayloadHash = "V1_PAYLOAD_HASH",
    /// The older contract's signature is wrong, or begins or ends inside a plan.
    V1Signature = "V1_SIGNATURE",
    /// No leaf, though later events have one.
    Unsealed = "UNSEALED",
    /// The proof does not lead to the root.
    Proof = "PROOF",
    /// The leaf at the event's index is another.
    LeafMismatch = "LEAF_MISMATCH",
    /// The log's order is not the plan's.
    Order = "ORDER",
    /// Recorded before the event before, or after it was sealed.
    Time = "TIME",
    /// The data key is gone and no erasure says so.
    KeyLost = "KEY_LOST",
    /// The envelope is not of this data key.
    Commitment = "COMMITMENT",
    /// The envelope is of another event.
    Aad = "AAD",
    /// A leaf that no record claims.
    MissingLeaf = "MISSING_LEAF",
    /// An event that a receipt or queue names and that is nowhere.
    Missing = "MISSING",
    /// No anchor covers it yet.
    Unanchored = "UNANCHORED",
    /// Its content was erased, as an event says.
    Erased = "ERASED",
    /// A projection is not what its events make.
    Projection = "PROJECTION",
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Verdict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom(format!("{name} is no verdict")))
    }
}
