//! The JSON form of a record: one line of `events.jsonl`, or a receipt (`docs/spec/integrity.md#bundle-record`).

use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::{Map, Value, json};

use crate::canonical::{self, Limits, Refused};
use crate::event::{Header, MAX_SEQ, PayloadMode, Record, V1, plain_uuid};
use crate::hash::Hash;
use crate::seal::KeyId;
use crate::timestamp::Timestamp;

/// The maximum length of a line in bytes, so that reading needs bounded memory. It is above that of the longest payload
/// in the longest spelling that a database can give it.
pub const MAX_LINE_BYTES: usize = 1 << 25;

/// A record is an object with at most one nested object, `v1`.
const LIMITS: Limits = Limits { bytes: MAX_LINE_BYTES, depth: 2 };

/// A line that can be attributed to an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundledRecord {
    /// The tenant of the plan.
    pub tenant: String,
    /// The plan of the event.
    pub plan: String,
    /// The seq of the event.
    pub seq: u64,
    /// The rest of the line.
    pub content: Content,
}

/// The content of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A record with the text of its proof, if there is one. Nothing in it is verified.
    Record(Box<Record>, Option<String>),
    /// A line that cannot be represented as a [`Record`]. Its verdict is FORMAT.
    Malformed {
        /// The event hash, if it is valid.
        event_hash: Option<Hash>,
        /// The log index, if it is valid.
        log_index: Option<u64>,
        /// The first fault, for people.
        fault: String,
    },
}

/// Reasons why a line is unreadable, so that it cannot be attributed to an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The line is not strict JSON.
    #[error("not strict JSON")]
    Json(#[from] Refused),
    /// The line is not an object with a tenant, a plan and a seq.
    #[error("not a record with tenant, plan and seq")]
    NoPlace,
}

/// Parses a line, with or without its line break. `origin` is the pinned origin, because a record does not contain one;
/// check 6 detects a record of another origin.
///
/// All members are required except `payload`, `log_index`, `v1` and `proof`, which may be null or absent. Other members
/// are not allowed. Hashes, MAC and signature are lower-case hex, the event id is a UUID in lower-case 8-4-4-4-12 form,
/// and times are RFC 3339 with six digits and `Z`. A line that breaks these rules, or has a number out of range, is
/// [`Content::Malformed`]. The limits of header fields are left to check 3.
pub fn read_record(line: &[u8], origin: &str) -> Result<BundledRecord, RecordError> {
    let Value::Object(mut members) = canonical::read_any_number(line, LIMITS)? else {
        return Err(RecordError::NoPlace);
    };
    let seq = members.remove("seq").as_ref().and_then(Value::as_u64);
    let (Some(Value::String(tenant)), Some(Value::String(plan)), Some(seq)) =
        (members.remove("tenant"), members.remove("plan"), seq)
    else {
        return Err(RecordError::NoPlace);
    };
    let event_hash = members.get("event_hash").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let log_index = members.get("log_index").and_then(log_index);
    let malformed = |fault| Content::Malformed { event_hash, log_index, fault };
    let mut members = Members(members);
    let content = match members.record(origin, &tenant, &plan, seq) {
        Ok((record, proof)) if members.0.is_empty() => Content::Record(Box::new(record), proof),
        Ok(_) => malformed("unknown member".to_owned()),
        Err(name) => malformed(format!("member {name} is missing or malformed")),
    };
    Ok(BundledRecord { tenant, plan, seq, content })
}

fn log_index(value: &Value) -> Option<u64> {
    value.as_u64().filter(|index| *index <= MAX_SEQ)
}

/// The members of a record that were not read yet. The error of a method is the name of the member that is missing, has
/// the wrong form, or is out of range.
struct Members(Map<String, Value>);

impl Members {
    /// Takes the record and the text of its proof.
    fn record(
        &mut self,
        origin: &str,
        tenant: &str,
        plan: &str,
        seq: u64,
    ) -> Result<(Record, Option<String>), &'static str> {
        let header = Header {
            origin: origin.to_owned(),
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            seq,
            event_id: plain_uuid(&self.text("event_id")?).ok_or("event_id")?,
            event_type: self.text("type")?,
            data_version: self.number("data_version")?,
            occurred: self.time("occurred")?,
            recorded: self.time("recorded")?,
            source: self.text("source")?,
            actor: self.text("actor")?,
            correlation_id: self.text("correlation_id")?,
            causation_id: self.text("causation_id")?,
            payload_mode: PayloadMode::from_name(&self.text("payload_mode")?).ok_or("payload_mode")?,
            payload_size: self.number("payload_size")?,
            payload_hash: self.hash("payload_hash")?,
            metadata_hash: self.hash("metadata_hash")?,
            prev: self.hash("prev")?,
            kid: KeyId::new(self.text("kid")?),
        };
        let record = Record {
            header,
            event_hash: self.hash("event_hash")?,
            mac: self.bytes("mac")?,
            sig: self.bytes("sig")?,
            payload: self.optional_text("payload")?,
            metadata: self.text("metadata")?,
            request_mac: Vec::new(),
            v1: self.v1()?,
            log_index: self.take("log_index").map(|index| log_index(&index).ok_or("log_index")).transpose()?,
        };
        Ok((record, self.optional_text("proof")?))
    }

    /// Removes a member. Null counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, &'static str> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(name),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<String, &'static str> {
        self.optional_text(name)?.ok_or(name)
    }

    fn number(&mut self, name: &'static str) -> Result<u32, &'static str> {
        self.take(name).and_then(|value| value.as_u64()?.try_into().ok()).ok_or(name)
    }

    fn time(&mut self, name: &'static str) -> Result<Timestamp, &'static str> {
        let text = self.text(name)?;
        Timestamp::parse(&text).ok().filter(|time| time.to_string() == text).ok_or(name)
    }

    fn hash(&mut self, name: &'static str) -> Result<Hash, &'static str> {
        self.text(name)?.parse().map_err(|_| name)
    }

    fn bytes(&mut self, name: &'static str) -> Result<Vec<u8>, &'static str> {
        let text = self.text(name)?;
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode(&text).ok().filter(|_| lower).ok_or(name)
    }

    /// Parses the columns of scheme v1. A column that is null or absent is taken as empty: that is a fault of the v1
    /// signature (check 12), not of the format.
    fn v1(&mut self) -> Result<Option<V1>, &'static str> {
        let Some(v1) = self.take("v1") else { return Ok(None) };
        let Value::Object(members) = v1 else { return Err("v1") };
        let mut members = Self(members);
        let mut column = |name| members.optional_text(name).map_err(|_| "v1");
        let v1 = V1 {
            payload_hash: column("payload_hash")?.unwrap_or_default(),
            prev_hash: column("prev_hash")?,
            signature: column("signature")?.unwrap_or_default(),
        };
        if members.0.is_empty() { Ok(Some(v1)) } else { Err("v1") }
    }
}

/// Writes a record as a line of `events.jsonl`, without the line break. `proof` is the text of its proof, in a bundle
/// of plans.
pub fn write_record(record: &Record, proof: Option<&str>) -> String {
    let mut line = Vec::new();
    let written = write_members(record, proof, &mut serde_json::Serializer::new(&mut line));
    written.expect("every member of a record has a JSON form");
    String::from_utf8(line).expect("JSON is UTF-8")
}

/// Writes the line of an event whose record cannot be written, because its row is malformed or too long. The line has none of
/// the other members, so that a verifier reports FORMAT at its place. `event_hash` and `log_index` are the stored values, if
/// they are valid: the next record links to this one, and the leaf is claimed.
pub fn write_malformed(tenant: &str, plan: &str, seq: u64, event_hash: Option<Hash>, log_index: Option<u64>) -> String {
    json!({ "tenant": tenant, "plan": plan, "seq": seq, "event_hash": event_hash, "log_index": log_index }).to_string()
}

/// Writes the members in the order of `docs/spec/integrity.md#bundle-record`.
fn write_members<S: Serializer>(record: &Record, proof: Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    let Record { header, event_hash, mac, sig, payload, metadata, v1, log_index, request_mac: _ } = record;
    let mut line = serializer.serialize_map(None)?;
    line.serialize_entry("tenant", &header.tenant)?;
    line.serialize_entry("plan", &header.plan)?;
    line.serialize_entry("seq", &header.seq)?;
    line.serialize_entry("event_id", &header.event_id.hyphenated().to_string())?;
    line.serialize_entry("type", &header.event_type)?;
    line.serialize_entry("data_version", &header.data_version)?;
    line.serialize_entry("occurred", &header.occurred)?;
    line.serialize_entry("recorded", &header.recorded)?;
    line.serialize_entry("source", &header.source)?;
    line.serialize_entry("actor", &header.actor)?;
    line.serialize_entry("correlation_id", &header.correlation_id)?;
    line.serialize_entry("causation_id", &header.causation_id)?;
    line.serialize_entry("payload_mode", header.payload_mode.as_str())?;
    line.serialize_entry("payload_size", &header.payload_size)?;
    line.serialize_entry("payload_hash", &header.payload_hash)?;
    line.serialize_entry("metadata_hash", &header.metadata_hash)?;
    line.serialize_entry("prev", &header.prev)?;
    line.serialize_entry("kid", &header.kid)?;
    line.serialize_entry("event_hash", event_hash)?;
    line.serialize_entry("mac", &hex::encode(mac))?;
    line.serialize_entry("sig", &hex::encode(sig))?;
    line.serialize_entry("payload", payload)?;
    line.serialize_entry("metadata", metadata)?;
    line.serialize_entry("log_index", log_index)?;
    if let Some(v1) = v1 {
        line.serialize_entry("v1", v1)?;
    }
    if let Some(proof) = proof {
        line.serialize_entry("proof", proof)?;
    }
    line.end()
}
