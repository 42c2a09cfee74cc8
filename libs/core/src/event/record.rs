//! Stored events.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Header, Priority, leaf};
use crate::hash::Hash;
use crate::json;

/// An event as it is stored: header, seal, payload and metadata.
///
/// A record is unverified data. `Keyring::check` and `ChainCheck` verify it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The sealed fields.
    pub header: Header,
    /// Stored event hash, to which the next event links.
    pub event_hash: Hash,
    /// MAC; empty under an Ed25519 key.
    pub mac: Vec<u8>,
    /// Signature; empty under an HMAC key.
    pub sig: Vec<u8>,
    /// Stored payload (an envelope if the event is encrypted); `None` if only its hash is stored.
    pub payload: Option<String>,
    /// Stored metadata.
    pub metadata: String,
    /// Request MAC of 32 bytes. It distinguishes a repeated request from another request with the same id.
    pub request_mac: Vec<u8>,
    /// Columns of scheme v1, if the plan carries them.
    pub v1: Option<V1>,
    /// Index of the leaf in the log; `None` until the event is sealed.
    pub log_index: Option<u64>,
}

/// The three columns of scheme v1. An event has them in addition to the seal, never instead of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct V1 {
    /// Hash of the payload in lower-case hex.
    pub payload_hash: String,
    /// Signature of the previous event of the plan; `None` at seq 1.
    pub prev_hash: Option<String>,
    /// HMAC in lower-case hex.
    pub signature: String,
}

impl Record {
    /// Returns the bytes of the event's leaf in the log.
    pub fn leaf(&self) -> Vec<u8> {
        leaf::encode(&self.header, &self.mac, &self.sig)
    }

    /// Returns the hash of the event's leaf in the log.
    pub fn leaf_hash(&self) -> Hash {
        Hash::of_leaf(&self.leaf())
    }

    /// Returns the priority: `metadata.sealbus.priority`, or normal if it is missing or unknown.
    pub fn priority(&self) -> Priority {
        self.sealbus_metadata("priority").as_str().and_then(Priority::from_name).unwrap_or_default()
    }

    /// Returns whether the metadata say that the event carries scheme v1: whether `metadata.sealbus.v1` is true.
    pub fn claims_v1(&self) -> bool {
        self.sealbus_metadata("v1") == true
    }

    /// Returns the member `name` of the object `sealbus` in the metadata. Only Sealbus writes this object: it is refused in requests
    /// (`docs/spec/integrity.md#canonical-metadata-sealbus`). The result is JSON null if the metadata have no such member.
    pub fn sealbus_metadata(&self, name: &str) -> Value {
        // A stored text may spell a name with escapes.
        if !self.metadata.contains(name) && !self.metadata.contains('\\') {
            return Value::Null;
        }
        let mut metadata = json::parse(self.metadata.as_bytes()).unwrap_or_default();
        let member = metadata.get_mut("sealbus").and_then(|members| members.get_mut(name));
        member.map(Value::take).unwrap_or_default()
    }

    /// Returns the number of bytes of the payload and the metadata.
    pub fn content_bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, String::len) + self.metadata.len()
    }
}
