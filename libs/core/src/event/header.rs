//! The header: every sealed field of an event, in the one order and spelling that is hashed (INTEGRITY, Scheme v2).

use uuid::Uuid;

use crate::event::{FormatError, PayloadMode};
use crate::hash::Hash;
use crate::key_id::{KeyId, Suite};
use crate::timestamp::Timestamp;
use crate::wire::{Fields, lp, plan_label};

const LABEL: &str = "sealbus/event/v2\n";
const GENESIS_LABEL: &str = "sealbus/genesis/v2\n";
/// The largest integer that every JSON reader keeps: 2^53 − 1.
pub(crate) const MAX_SEQ: u64 = (1 << 53) - 1;

/// Every sealed field of an event. What stands in neither the header nor the payload or metadata whose hashes it holds is
/// not part of the event.
///
/// A text that an event lacks is empty. [`Header::validate`] says whether the fields keep the format's limits; a decoded
/// header always does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The deployment: 1 to 255 of U+0021–007E but not `+`.
    pub origin: String,
    /// Whose event it is: 1 to 64 of `A–Z a–z 0–9 _ -`.
    pub tenant: String,
    /// Whose chain it continues: 1 to 255 bytes.
    pub plan: String,
    /// Its place in the plan, from 1.
    pub seq: u64,
    /// Unique within the tenant.
    pub event_id: Uuid,
    /// What happened: 1 to 255 of U+0021–007E.
    pub event_type: String,
    /// The version of the type's schema, from 1.
    pub data_version: u32,
    /// When it happened, as its producer says.
    pub occurred: Timestamp,
    /// When it was appended, as the database says; never below the event before.
    pub recorded: Timestamp,
    /// What produced it: up to 1,024 bytes, or empty.
    pub source: String,
    /// Who did it: up to 255 bytes, or empty.
    pub actor: String,
    /// Up to 255 bytes, or empty.
    pub correlation_id: String,
    /// Up to 255 bytes, or empty.
    pub causation_id: String,
    /// What of the payload is hashed and kept.
    pub payload_mode: PayloadMode,
    /// Bytes of the canonical payload, or of the canonical envelope where it is encrypted.
    pub payload_size: u32,
    /// SHA-256 of the same.
    pub payload_hash: Hash,
    /// SHA-256 of the canonical metadata.
    pub metadata_hash: Hash,
    /// The event hash of the plan's event before; of the first one, [`Header::genesis`].
    pub prev: Hash,
    /// The key that seals it, and with it the suite.
    pub kid: KeyId,
}

impl Header {
    /// Whether every field keeps the format's limits; the error names the first that does not, and its rule.
    pub fn validate(&self) -> Result<(), FormatError> {
        field("origin", is_origin(&self.origin), "1 to 255 of U+0021 to U+007E but not +")?;
        field("tenant", is_tenant(&self.tenant), "1 to 64 of A-Z, a-z, 0-9, _ and -")?;
        field("plan", !self.plan.is_empty() && is_text(&self.plan, 255), "1 to 255 bytes without control characters")?;
        field("seq", (1..=MAX_SEQ).contains(&self.seq), "1 to 2^53 - 1")?;
        field("type", is_visible(&self.event_type), "1 to 255 of U+0021 to U+007E")?;
        field("data_version", (1..1 << 31).contains(&self.data_version), "1 to 2^31 - 1")?;
        field("occurred", self.occurred.is_sealable(), "of the years 0001 to 9999")?;
        field("recorded", self.recorded.is_sealable(), "of the years 0001 to 9999")?;
        field("source", is_text(&self.source, 1024), "up to 1,024 bytes without control characters")?;
        for (name, text) in
            [("actor", &self.actor), ("correlation_id", &self.correlation_id), ("causation_id", &self.causation_id)]
        {
            field(name, is_text(text, 255), "up to 255 bytes without control characters")?;
        }
        field("kid", self.kid.suite().is_some(), "hmac- or ed25519- and 16 lower-case hex digits")
    }

    /// The bytes that are hashed. They decode to this header if it is valid.
    pub fn encode(&self) -> Vec<u8> {
        let texts = [&self.origin, &self.tenant, &self.plan, &self.event_type, &self.source, &self.actor];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut bytes = Vec::with_capacity(length + self.correlation_id.len() + self.causation_id.len() + 256);
        bytes.extend_from_slice(LABEL.as_bytes());
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

    /// The header that these bytes are. Refused, beside what [`Header::validate`] refuses: another scheme, suite or mode, a
    /// suite that is not the key id's, text that is not UTF-8, a byte too few or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::after(LABEL, bytes)?;
        let suite = Suite::from_code(fields.u8("suite")?);
        let header = Self {
            origin: fields.text("origin")?,
            tenant: fields.text("tenant")?,
            plan: fields.text("plan")?,
            seq: fields.u64("seq")?,
            event_id: fields.uuid("event_id")?,
            event_type: fields.text("type")?,
            data_version: fields.u32("data_version")?,
            occurred: time(fields.i64("occurred")?, "occurred")?,
            recorded: time(fields.i64("recorded")?, "recorded")?,
            source: fields.text("source")?,
            actor: fields.text("actor")?,
            correlation_id: fields.text("correlation_id")?,
            causation_id: fields.text("causation_id")?,
            payload_mode: PayloadMode::from_code(fields.u8("payload_mode")?)
                .ok_or(FormatError::Field { field: "payload_mode", rule: "1, 2 or 3" })?,
            payload_size: fields.u32("payload_size")?,
            payload_hash: fields.hash("payload_hash")?,
            metadata_hash: fields.hash("metadata_hash")?,
            prev: fields.hash("prev")?,
            kid: KeyId::new(fields.text("kid")?),
        };
        fields.end()?;
        header.validate()?;
        field("suite", suite.is_some(), "1 or 2")?;
        if suite == header.kid.suite() { Ok(header) } else { Err(FormatError::Suite) }
    }

    /// The event hash: SHA-256 of the encoded header.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// What the first event of a plan has for `prev`.
    pub fn genesis(origin: &str, tenant: &str, plan: &str) -> Hash {
        Hash::of(&plan_label(GENESIS_LABEL, origin, tenant, plan))
    }
}

fn field(field: &'static str, holds: bool, rule: &'static str) -> Result<(), FormatError> {
    if holds { Ok(()) } else { Err(FormatError::Field { field, rule }) }
}

fn time(micros: i64, field: &'static str) -> Result<Timestamp, FormatError> {
    Timestamp::from_micros(micros).ok_or(FormatError::Field { field, rule: "of the years 0001 to 9999" })
}

/// Whether a deployment may bear this name: 1 to 255 of U+0021–007E but not `+`, as a signed-note key name.
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

/// Any characters but U+0000–001F and U+007F–009F.
pub(crate) fn is_text(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(char::is_control)
}
