//! An event as it is stored, and as it is shown.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    event::{Header, Priority, leaf},
    hash::Hash,
};

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
        leaf::hash(&self.leaf())
    }

    /// How much it hurries: `metadata.sealbus.priority`, normal where none or an unknown one is named.
    pub fn priority(&self) -> Priority {
        if !self.metadata.contains(r#""priority""#) {
            return Priority::Normal;
        }
        let metadata: Value = serde_json::from_str(&self.metadata).unwrap_or_default();
        metadata["sealbus"]["priority"].as_str().and_then(|name| name.parse().ok()).unwrap_or_default()
    }

    /// The event as INTERFACE shows it ("An event, as JSON").
    ///
    /// A text that the event lacks is null. Stored text that no longer reads as JSON is shown as a string of itself.
    pub fn to_json(&self) -> Value {
        let header = &self.header;
        let mut seal = json!({
            "scheme": "v2",
            "suite": header.kid.suite().map(crate::seal::Suite::code),
            "kid": header.kid.as_str(),
            "payload_mode": header.payload_mode.as_str(),
            "payload_size": header.payload_size,
            "payload_hash": header.payload_hash,
            "metadata_hash": header.metadata_hash,
            "prev": header.prev,
            "hash": self.event_hash,
        });
        for (name, bytes) in [("mac", &self.mac), ("sig", &self.sig)] {
            if !bytes.is_empty() {
                seal[name] = Value::String(hex::encode(bytes));
            }
        }
        let mut event = json!({
            "id": header.event_id,
            "tenant": header.tenant,
            "plan": header.plan,
            "seq": header.seq,
            "type": header.event_type,
            "version": header.data_version,
            "source": given(&header.source),
            "actor": given(&header.actor),
            "occurred_at": header.occurred,
            "recorded_at": header.recorded,
            "correlation_id": given(&header.correlation_id),
            "causation_id": given(&header.causation_id),
            "priority": self.priority(),
            "data": self.payload.as_deref().map(stored_json),
            "metadata": stored_json(&self.metadata),
            "seal": seal,
            "log_index": self.log_index,
        });
        if let Some(v1) = &self.v1 {
            event["v1"] = json!({
                "payload_hash": v1.payload_hash, "prev_hash": v1.prev_hash, "signature": v1.signature,
            });
        }
        event
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Stored text as JSON; text that no longer reads, as a string of itself: an edited row must be seen, not hidden.
pub(crate) fn stored_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
