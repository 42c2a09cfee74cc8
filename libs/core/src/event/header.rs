//! The header: the sealed fields of an event, and the encoding that is hashed (docs/spec/integrity.md#v2-header).

use uuid::Uuid;

use crate::event::{FormatError, PayloadMode};
use crate::hash::Hash;
use crate::key_id::{KeyId, Suite};
use crate::timestamp::Timestamp;
use crate::wire::{Fields, lp, plan_label};

const LABEL: &str = "sealbus/event/v2\n";
const GENESIS_LABEL: &str = "sealbus/genesis/v2\n";
/// The largest seq: 2^53 − 1, the largest integer that every JSON reader preserves.
pub(crate) const MAX_SEQ: u64 = (1 << 53) - 1;

/// The sealed fields of an event. An event consists of its header and of the payload and metadata whose hashes are in the
/// header; nothing else is part of it.
///
/// A text that an event does not have is empty. [`Header::validate`] checks the limits of the fields
/// (docs/spec/integrity.md#v2-fields); a decoded header always satisfies them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Origin of the deployment: 1 to 255 characters of U+0021–007E without `+`.
    pub origin: String,
    /// Tenant: 1 to 64 characters of `A–Z a–z 0–9 _ -`.
    pub tenant: String,
    /// Plan: 1 to 255 bytes.
    pub plan: String,
    /// Position in the plan, from 1.
    pub seq: u64,
    /// Event id, unique within the tenant.
    pub event_id: Uuid,
    /// Event type: 1 to 255 characters of U+0021–007E.
    pub event_type: String,
    /// Version of the type's schema, from 1.
    pub data_version: u32,
    /// Time of the event as stated by its producer.
    pub occurred: Timestamp,
    /// Time of the append by the database's clock; never earlier than that of the previous event of the plan.
    pub recorded: Timestamp,
    /// Producer of the event: up to 1,024 bytes, or empty.
    pub source: String,
    /// Actor who caused the event: up to 255 bytes, or empty.
    pub actor: String,
    /// Correlation id: up to 255 bytes, or empty.
    pub correlation_id: String,
    /// Causation id: up to 255 bytes, or empty.
    pub causation_id: String,
    /// How the payload is hashed and stored.
    pub payload_mode: PayloadMode,
    /// Number of bytes of the canonical payload, which is the envelope if the event is encrypted.
    pub payload_size: u32,
    /// SHA-256 of the canonical payload.
    pub payload_hash: Hash,
    /// SHA-256 of the canonical metadata.
    pub metadata_hash: Hash,
    /// Event hash of the previous event of the plan; [`Header::genesis`] for the first event.
    pub prev: Hash,
    /// Id of the key that seals the event. It determines the suite.
    pub kid: KeyId,
}

impl Header {
    /// Checks the limits of all fields. The error names the first field that breaks its rule.
    pub fn validate(&self) -> Result<(), FormatError> {
        let require = FormatError::require;
        require("origin", is_origin(&self.origin), "1 to 255 characters of U+0021 to U+007E without +")?;
        require("tenant", is_tenant(&self.tenant), "1 to 64 characters of A-Z, a-z, 0-9, _ and -")?;
        require(
            "plan",
            !self.plan.is_empty() && is_text(&self.plan, 255),
            "1 to 255 bytes without control characters",
        )?;
        require("seq", (1..=MAX_SEQ).contains(&self.seq), "1 to 2^53 - 1")?;
        require("type", is_visible(&self.event_type), "1 to 255 characters of U+0021 to U+007E")?;
        require("data_version", (1..1 << 31).contains(&self.data_version), "1 to 2^31 - 1")?;
        require("occurred", self.occurred.is_sealable(), "a time in the years 0001 to 9999")?;
        require("recorded", self.recorded.is_sealable(), "a time in the years 0001 to 9999")?;
        require("source", is_text(&self.source, 1024), "at most 1,024 bytes without control characters")?;
        for (name, text) in
            [("actor", &self.actor), ("correlation_id", &self.correlation_id), ("causation_id", &self.causation_id)]
        {
            require(name, is_text(text, 255), "at most 255 bytes without control characters")?;
        }
        require("kid", self.kid.suite().is_some(), "hmac- or ed25519- and 16 lower-case hex digits")
    }

    /// Returns the bytes that are hashed. If the header is valid, they decode to it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(LABEL.as_bytes());
        // A header whose key id has no suite is not valid, and 0 decodes to no suite.
        bytes.push(self.kid.suite().map_or(0, Suite::code));
        for text in [&self.origin, &self.tenant, &self.plan] {
            lp(&mut bytes, text.as_bytes());
        }
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(self.event_id.as_bytes());
        lp(&mut bytes, self.event_type.as_bytes());
        bytes.extend_from_slice(&self.data_version.to_be_bytes());
        bytes.extend_from_slice(&self.occurred.micros().to_be_bytes());
        bytes.extend_from_slice(&self.recorded.micros().to_be_bytes());
        for text in [&self.source, &self.actor, &self.correlation_id, &self.causation_id] {
            lp(&mut bytes, text.as_bytes());
        }
        bytes.push(self.payload_mode.code());
        bytes.extend_from_slice(&self.payload_size.to_be_bytes());
        for hash in [&self.payload_hash, &self.metadata_hash, &self.prev] {
            bytes.extend_from_slice(hash.as_bytes());
        }
        lp(&mut bytes, self.kid.as_str().as_bytes());
        bytes
    }

    /// Decodes a header. In addition to what [`Header::validate`] refuses, it refuses another scheme, suite or payload mode, a
    /// suite that is not that of the key id, text that is not UTF-8, and missing or additional bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::after(LABEL, bytes)?;
        let [suite] = fields.array("suite")?;
        let header = Self {
            origin: fields.text("origin")?,
            tenant: fields.text("tenant")?,
            plan: fields.text("plan")?,
            seq: u64::from_be_bytes(fields.array("seq")?),
            event_id: Uuid::from_bytes(fields.array("event_id")?),
            event_type: fields.text("type")?,
            data_version: u32::from_be_bytes(fields.array("data_version")?),
            occurred: time(&mut fields, "occurred")?,
            recorded: time(&mut fields, "recorded")?,
            source: fields.text("source")?,
            actor: fields.text("actor")?,
            correlation_id: fields.text("correlation_id")?,
            causation_id: fields.text("causation_id")?,
            payload_mode: PayloadMode::from_code(u8::from_be_bytes(fields.array("payload_mode")?))
                .ok_or(FormatError::Field { field: "payload_mode", rule: "1, 2 or 3" })?,
            payload_size: u32::from_be_bytes(fields.array("payload_size")?),
            payload_hash: Hash(fields.array("payload_hash")?),
            metadata_hash: Hash(fields.array("metadata_hash")?),
            prev: Hash(fields.array("prev")?),
            kid: KeyId::new(fields.text("kid")?),
        };
        fields.end()?;
        header.validate()?;
        let suite = Suite::from_code(suite);
        FormatError::require("suite", suite.is_some(), "1 or 2")?;
        if suite == header.kid.suite() { Ok(header) } else { Err(FormatError::Suite) }
    }

    /// Returns the event hash: SHA-256 of the encoded header.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// Returns the value of `prev` in the first event of a plan.
    pub fn genesis(origin: &str, tenant: &str, plan: &str) -> Hash {
        Hash::of(&plan_label(GENESIS_LABEL, origin, tenant, plan))
    }
}

fn time(fields: &mut Fields<'_>, field: &'static str) -> Result<Timestamp, FormatError> {
    let micros = i64::from_be_bytes(fields.array(field)?);
    Timestamp::from_micros(micros).ok_or(FormatError::Field { field, rule: "a time in the years 0001 to 9999" })
}

/// Returns whether a text can be the origin of a deployment: 1 to 255 characters of U+0021–007E without `+`, as for a key name of
/// a signed note.
pub fn is_origin(text: &str) -> bool {
    is_visible(text) && !text.contains('+')
}

fn is_tenant(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_visible(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns whether a text has at most `max` bytes and no control characters (U+0000–001F and U+007F–009F).
pub(crate) fn is_text(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(char::is_control)
}
