//! The JSON form of a record: one line of `events.jsonl`, or a receipt (`docs/spec/integrity.md#bundle-record`).

use serde::Serialize;
use serde_json::{Map, Value};

use crate::canonical::{self, Limits, Refused};
use crate::event::{Header, PayloadMode, Record, V1, plain_uuid};
use crate::hash::Hash;
use crate::seal::KeyId;
use crate::timestamp::Timestamp;
use crate::verify::bundle::record::RecordFault::Member;

/// The maximum length of a line in bytes, so that reading needs bounded memory. It is above that of the longest payload
/// in the longest spelling that a database can give it.
pub const MAX_LINE_BYTES: usize = 1 << 25;

/// A record is an object with at most one nested object, `v1`.
const LIMITS: Limits = Limits { bytes: MAX_LINE_BYTES, depth: 2 };
/// The upper limit of a log index: 2^53 − 1.
const MAX_INTEGER: u64 = crate::event::MAX_SEQ;

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
        /// The first fault.
        fault: RecordFault,
    },
}

/// A fault of a line with the verdict FORMAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The member with this name is missing, has the wrong form, or is out of range.
    #[error("member {0} is missing or malformed")]
    Member(&'static str),
    /// There is a member that records do not have.
    #[error("unknown member")]
    UnknownMember,
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
    let (Some(Value::String(tenant)), Some(Value::String(plan))) = (members.remove("tenant"), members.remove("plan"))
    else {
        return Err(RecordError::NoPlace);
    };
    let seq = members.remove("seq").as_ref().and_then(Value::as_u64).ok_or(RecordError::NoPlace)?;
    let event_hash = members.get("event_hash").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let log_index = members.get("log_index").and_then(Value::as_u64).filter(|index| *index <= MAX_INTEGER);
    let content = match content(members, origin, &tenant, &plan, seq) {
        Ok((record, proof)) => Content::Record(Box::new(record), proof),
        Err(fault) => Content::Malformed { event_hash, log_index, fault },
    };
    Ok(BundledRecord { tenant, plan, seq, content })
}

/// Parses the record and the text of its proof.
fn content(
    members: Map<String, Value>,
    origin: &str,
    tenant: &str,
    plan: &str,
    seq: u64,
) -> Result<(Record, Option<String>), RecordFault> {
    let mut members = Members(members);
    let payload_mode = members.text("payload_mode")?;
    let record = Record {
        header: Header {
            origin: origin.to_owned(),
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            seq,
            event_id: plain_uuid(&members.text("event_id")?).ok_or(Member("event_id"))?,
            event_type: members.text("type")?,
            data_version: members.number("data_version")?,
            occurred: members.time("occurred")?,
            recorded: members.time("recorded")?,
            source: members.text("source")?,
            actor: members.text("actor")?,
            correlation_id: members.text("correlation_id")?,
            causation_id: members.text("causation_id")?,
            payload_mode: PayloadMode::from_name(&payload_mode).ok_or(Member("payload_mode"))?,
            payload_size: members.number("payload_size")?,
            payload_hash: members.hash("payload_hash")?,
            metadata_hash: members.hash("metadata_hash")?,
            prev: members.hash("prev")?,
            kid: KeyId::new(members.text("kid")?),
        },
        event_hash: members.hash("event_hash")?,
        mac: members.bytes("mac")?,
        sig: members.bytes("sig")?,
        payload: members.optional_text("payload")?,
        metadata: members.text("metadata")?,
        request_mac: Vec::new(),
        v1: members.v1()?,
        log_index: match members.take("log_index") {
            None => None,
            Some(index) => Some(index.as_u64().filter(|index| *index <= MAX_INTEGER).ok_or(Member("log_index"))?),
        },
    };
    let proof = members.optional_text("proof")?;
    if members.0.is_empty() { Ok((record, proof)) } else { Err(RecordFault::UnknownMember) }
}

/// The members of a record that were not read yet.
struct Members(Map<String, Value>);

impl Members {
    /// Removes a member. Null counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, RecordFault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Member(name)),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<String, RecordFault> {
        self.optional_text(name)?.ok_or(Member(name))
    }

    fn number(&mut self, name: &'static str) -> Result<u32, RecordFault> {
        self.take(name).and_then(|value| value.as_u64()?.try_into().ok()).ok_or(Member(name))
    }

    fn time(&mut self, name: &'static str) -> Result<Timestamp, RecordFault> {
        let text = self.text(name)?;
        Timestamp::parse(&text).ok().filter(|time| time.to_string() == text).ok_or(Member(name))
    }

    fn hash(&mut self, name: &'static str) -> Result<Hash, RecordFault> {
        self.text(name)?.parse().map_err(|_| Member(name))
    }

    fn bytes(&mut self, name: &'static str) -> Result<Vec<u8>, RecordFault> {
        let text = self.text(name)?;
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode(&text).ok().filter(|_| lower).ok_or(Member(name))
    }

    /// Parses the columns of scheme v1. A column that is null or absent is taken as empty: that is a fault of the v1
    /// signature (check 12), not of the format.
    fn v1(&mut self) -> Result<Option<V1>, RecordFault> {
        let mut members = match self.take("v1") {
            None => return Ok(None),
            Some(Value::Object(members)) => Self(members),
            Some(_) => return Err(Member("v1")),
        };
        let mut column = |name| members.optional_text(name).map_err(|_| Member("v1"));
        let v1 = V1 {
            payload_hash: column("payload_hash")?.unwrap_or_default(),
            prev_hash: column("prev_hash")?,
            signature: column("signature")?.unwrap_or_default(),
        };
        if members.0.is_empty() { Ok(Some(v1)) } else { Err(Member("v1")) }
    }
}

/// Writes a record as a line of `events.jsonl`, without the line break. `proof` is the text of its proof, in a bundle
/// of plans.
pub fn write_record(record: &Record, proof: Option<&str>) -> String {
    let Record { header, event_hash, mac, sig, payload, metadata, v1, log_index, request_mac: _ } = record;
    let line = Line {
        tenant: &header.tenant,
        plan: &header.plan,
        seq: header.seq,
        event_id: header.event_id.hyphenated().to_string(),
        r#type: &header.event_type,
        data_version: header.data_version,
        occurred: header.occurred,
        recorded: header.recorded,
        source: &header.source,
        actor: &header.actor,
        correlation_id: &header.correlation_id,
        causation_id: &header.causation_id,
        payload_mode: header.payload_mode.as_str(),
        payload_size: header.payload_size,
        payload_hash: header.payload_hash,
        metadata_hash: header.metadata_hash,
        prev: header.prev,
        kid: header.kid.as_str(),
        event_hash: *event_hash,
        mac: hex::encode(mac),
        sig: hex::encode(sig),
        payload: payload.as_deref(),
        metadata,
        log_index: *log_index,
        v1: v1.as_ref(),
        proof,
    };
    serde_json::to_string(&line).expect("every member of a record has a JSON form")
}

/// The members of a record in the order of `docs/spec/integrity.md#bundle-record`.
#[derive(Serialize)]
struct Line<'r> {
    tenant: &'r str,
    plan: &'r str,
    seq: u64,
    event_id: String,
    r#type: &'r str,
    data_version: u32,
    occurred: Timestamp,
    recorded: Timestamp,
    source: &'r str,
    actor: &'r str,
    correlation_id: &'r str,
    causation_id: &'r str,
    payload_mode: &'static str,
    payload_size: u32,
    payload_hash: Hash,
    metadata_hash: Hash,
    prev: Hash,
    kid: &'r str,
    event_hash: Hash,
    mac: String,
    sig: String,
    payload: Option<&'r str>,
    metadata: &'r str,
    log_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v1: Option<&'r V1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'r str>,
}
