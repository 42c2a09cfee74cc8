//! An event as it is stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Header, Priority, leaf};
use crate::hash::Hash;

/// An event as stored: its header, its seal and its texts.
///
/// A record is what was read, not what is true: nothing here says that the seal holds. `Keyring::check` and
/// `ChainCheck` do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The sealed fields.
    pub header: Header,
    /// The event hash as stored, which the next event links to.
    pub event_hash: Hash,
    /// The MAC; empty under an Ed25519 key.
    pub mac: Vec<u8>,
    /// The signature; empty under an HMAC key.
    pub sig: Vec<u8>,
    /// The stored payload text (an envelope where it is encrypted); `None` where only its hash is kept.
    pub payload: Option<String>,
    /// The stored metadata text.
    pub metadata: String,
    /// What tells an equal request from another with the same id; 32 bytes.
    pub request_mac: Vec<u8>,
    /// The older contract's columns, in a plan that carries them.
    pub v1: Option<V1>,
    /// The index of its leaf in the log; `None` until it is sealed.
    pub log_index: Option<u64>,
}

/// The older contract's three columns, beside the seal and never instead of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct V1 {
    /// Lower-case hex of the payload's hash.
    pub payload_hash: String,
    /// The signature of the plan's event before; `None` at seq 1.
    pub prev_hash: Option<String>,
    /// Lower-case hex of the HMAC.
    pub signature: String,
}

impl Record {
    /// The bytes of its leaf in the log.
    pub fn leaf(&self) -> Vec<u8> {
        leaf::encode(&self.header, &self.mac, &self.sig)
    }

    /// The hash of its leaf in the log.
    pub fn leaf_hash(&self) -> Hash {
        Hash::of_leaf(&self.leaf())
    }

    /// How much it hurries: `metadata.sealbus.priority`, normal where none or an unknown one is named.
    pub fn priority(&self) -> Priority {
        if !self.metadata.contains(r#""priority""#) {
            return Priority::Normal;
        }
        let metadata: Value = serde_json::from_str(&self.metadata).unwrap_or_default();
        metadata["sealbus"]["priority"].as_str().and_then(|name| name.parse().ok()).unwrap_or_default()
    }
}
