//! The JSON form of an event (docs/spec/interface.md#event).

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{Priority, Record, V1};
use crate::hash::Hash;
use crate::key_id::Suite;
use crate::timestamp::Timestamp;
use crate::verdict::Verdict;

/// An event as a certain reader is shown it. Its payload and metadata may differ from the stored ones, for example because an
/// envelope was opened. Its header and seal are always the stored ones.
#[derive(Clone, Debug)]
pub struct View {
    /// The record, with the payload and metadata that are shown.
    pub record: Arc<Record>,
    /// The reason for which the envelope is not opened although the reader may see the data; `ERASED` for every reader. It is
    /// the member `unopened`.
    pub unopened: Option<Verdict>,
}

impl View {
    /// Returns the event as it is stored.
    pub fn stored(record: Arc<Record>) -> Self {
        Self { record, unopened: None }
    }
}

/// The JSON form of a record. It is serialised directly: stored texts are copied without being parsed into a tree.
///
/// A text that the event does not have is null. A stored text that is not JSON is shown as a string, because an edited row must
/// be visible (docs/spec/interface.md#event-stored-text).
#[derive(Serialize)]
struct EventJson<'a> {
    id: uuid::Uuid,
    tenant: &'a str,
    plan: &'a str,
    seq: u64,
    #[serde(rename = "type")]
    event_type: &'a str,
    version: u32,
    source: Option<&'a str>,
    actor: Option<&'a str>,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    correlation_id: Option<&'a str>,
    causation_id: Option<&'a str>,
    priority: Priority,
    data: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unopened: Option<Verdict>,
    metadata: Text<'a>,
    seal: SealJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v1: Option<V1Json<'a>>,
    log_index: Option<u64>,
}

#[derive(Serialize)]
struct SealJson<'a> {
    scheme: &'static str,
    suite: Option<u8>,
    kid: &'a str,
    payload_mode: &'static str,
    payload_size: u32,
    payload_hash: Hash,
    metadata_hash: Hash,
    prev: Hash,
    hash: Hash,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

#[derive(Serialize)]
struct V1Json<'a> {
    payload_hash: &'a str,
    prev_hash: Option<&'a str>,
    signature: &'a str,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.event_json(None).serialize(serializer)
    }
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.event_json(self.unopened).serialize(serializer)
    }
}

impl Record {
    fn event_json(&self, unopened: Option<Verdict>) -> EventJson<'_> {
        let header = &self.header;
        let hexed = |bytes: &[u8]| (!bytes.is_empty()).then(|| hex::encode(bytes));
        EventJson {
            id: header.event_id,
            tenant: &header.tenant,
            plan: &header.plan,
            seq: header.seq,
            event_type: &header.event_type,
            version: header.data_version,
            source: given(&header.source),
            actor: given(&header.actor),
            occurred_at: header.occurred,
            recorded_at: header.recorded,
            correlation_id: given(&header.correlation_id),
            causation_id: given(&header.causation_id),
            priority: self.priority(),
            data: self.payload.as_deref().map(|text| Text(text, header.payload_hash)),
            unopened,
            metadata: Text(&self.metadata, header.metadata_hash),
            seal: SealJson {
                scheme: "v2",
                suite: header.kid.suite().map(Suite::code),
                kid: header.kid.as_str(),
                payload_mode: header.payload_mode.as_str(),
                payload_size: header.payload_size,
                payload_hash: header.payload_hash,
                metadata_hash: header.metadata_hash,
                prev: header.prev,
                hash: self.event_hash,
                mac: hexed(&self.mac),
                sig: hexed(&self.sig),
            },
            v1: self.v1.as_ref().map(|V1 { payload_hash, prev_hash, signature }| V1Json {
                payload_hash,
                prev_hash: prev_hash.as_deref(),
                signature,
            }),
            log_index: self.log_index,
        }
    }

    /// Returns the JSON form of the event as a tree.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("all members of a record have a JSON form")
    }

    /// Returns the JSON form of the event on one line.
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(self).expect("all members of a record have a JSON form")
    }
}

impl View {
    /// Returns the JSON form of the event on one line.
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(self).expect("all members of a record have a JSON form")
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A stored text, and its sealed hash.
struct Text<'a>(&'a str, Hash);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A text with the sealed hash is canonical: it is on one line, and all its numbers are in range. Any other text was
        // changed after it was stored, and must not make the answer invalid.
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) if Hash::of(self.0.as_bytes()) == self.1 => raw.serialize(serializer),
            _ => stored_json(self.0).serialize(serializer),
        }
    }
}

/// Parses a stored text. A text that is not JSON becomes a JSON string.
pub(crate) fn stored_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
