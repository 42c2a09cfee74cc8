//! A record's JSON: one line of `events.jsonl`, or a receipt.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::canonical::{self, Limits, Refused};
use crate::event::{Header, PayloadMode, Record, V1, plain_uuid};
use crate::hash::Hash;
use crate::seal::KeyId;
use crate::timestamp::Timestamp;

/// Bytes of a line: the longest payload, spelled as long as a database can spell it anew, and more. A longer line is refused,
/// so that reading needs bounded memory.
pub const MAX_LINE: usize = 1 << 25;

/// A record's members, and v1's in it.
const LIMITS: Limits = Limits { bytes: MAX_LINE, depth: 2 };
/// The largest log index, and more: 2^53 − 1.
const MAX_INTEGER: u64 = crate::event::MAX_SEQ;

/// A line that names a place in a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundledRecord {
    /// Whose plan.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The place in it.
    pub seq: u64,
    /// What stands there.
    pub content: Content,
}

/// What a line says of its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A record, of which nothing is checked yet; with the text of its proof, if there is one.
    Record(Box<Record>, Option<String>),
    /// Something that no [`Record`] can hold: the verdict FORMAT on its place.
    Malformed {
        /// The event hash, where it is one.
        event_hash: Option<Hash>,
        /// The log index, where it is one.
        log_index: Option<u64>,
        /// The member that is wrong.
        member: &'static str,
    },
}

/// Why a line cannot be read at all: no place can be blamed for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is not JSON that can be understood in one way only.
    #[error("not strict JSON")]
    Json(#[from] Refused),
    /// It does not say whose it is.
    #[error("not a record with tenant, plan and seq")]
    NoPlace,
}

/// What the bytes of a line, without or with its line break, say. `origin` is the one that the verifier pins, since a record
/// does not name its own; the event hash tells whether it is another's.
///
/// Of the members that a record has, all must be there but `payload`, `log_index`, `v1` and `proof`, which may be null, and no
/// others; hashes, MAC and signature are lower-case hex, the id is a UUID in lower-case 8-4-4-4-12 form, times are RFC 3339
/// with six digits and `Z`. What breaks that is [`Content::Malformed`], and so is a number
/// that is too large. The limits of the header are left to the checks.
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
        Err(member) => Content::Malformed { event_hash, log_index, member },
    };
    Ok(BundledRecord { tenant, plan, seq, content })
}

/// The record and its proof's text; the error is the member that is wrong.
fn content(
    members: Map<String, Value>,
    origin: &str,
    tenant: &str,
    plan: &str,
    seq: u64,
) -> Result<(Record, Option<String>), &'static str> {
    let mut members = Members(members);
    let payload_mode = members.text("payload_mode")?;
    let record = Record {
        header: Header {
            origin: origin.to_owned(),
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            seq,
            event_id: plain_uuid(&members.text("event_id")?).ok_or("event_id")?,
            event_type: members.text("type")?,
            data_version: members.number("data_version")?,
            occurred: members.time("occurred")?,
            recorded: members.time("recorded")?,
            source: members.text("source")?,
            actor: members.text("actor")?,
            correlation_id: members.text("correlation_id")?,
            causation_id: members.text("causation_id")?,
            payload_mode: PayloadMode::from_name(&payload_mode).ok_or("payload_mode")?,
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
            Some(index) => Some(index.as_u64().filter(|index| *index <= MAX_INTEGER).ok_or("log_index")?),
        },
    };
    let proof = members.optional_text("proof")?;
    members.end("a member that records do not have")?;
    Ok((record, proof))
}

/// What is left of a record's members.
struct Members(Map<String, Value>);

impl Members {
    /// A member; null is none.
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

    /// An emptied column is none of the format's faults: it is not what the older contract signed.
    fn v1(&mut self) -> Result<Option<V1>, &'static str> {
        let Some(Value::Object(members)) = self.take("v1").map_or(Ok(None), |v1| match v1 {
            Value::Object(_) => Ok(Some(v1)),
            _ => Err("v1"),
        })?
        else {
            return Ok(None);
        };
        let mut members = Self(members);
        let mut column = |name| members.optional_text(name).map_err(|_| "v1");
        let v1 = V1 {
            payload_hash: column("payload_hash")?.unwrap_or_default(),
            prev_hash: column("prev_hash")?,
            signature: column("signature")?.unwrap_or_default(),
        };
        members.end("v1")?;
        Ok(Some(v1))
    }

    fn end(self, excess: &'static str) -> Result<(), &'static str> {
        if self.0.is_empty() { Ok(()) } else { Err(excess) }
    }
}

/// The record as one line of `events.jsonl`, without the line break; with the text of its proof in a bundle of plans.
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
    serde_json::to_string(&line).expect("a record's members all have JSON forms")
}

/// INTEGRITY's record, in its order.
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
