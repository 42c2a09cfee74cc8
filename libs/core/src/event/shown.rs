//! An event as a user sees it: INTERFACE's "An event, as JSON".

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{Priority, Record, V1};
use crate::hash::Hash;
use crate::key_id::Suite;
use crate::timestamp::Timestamp;
use crate::verdict::Verdict;

/// An event as it is shown to somebody: its texts may be other than the stored ones, its header and seal never are.
#[derive(Clone, Debug)]
pub struct View {
    /// The record, with the texts to be shown instead of the stored ones.
    pub record: Arc<Record>,
    /// Why its envelope is not open to somebody who may see into it; `ERASED` for everybody. It is the member `unopened`.
    pub unopened: Option<Verdict>,
}

impl View {
    /// The event as it is stored.
    pub fn stored(record: Arc<Record>) -> Self {
        Self { record, unopened: None }
    }
}

/// A record in INTERFACE's shape, written without a tree in between: its stored texts go through as they stand.
///
/// A text that the event lacks is null. Stored text that no longer reads as JSON is shown as a string of itself: an edited
/// row must be seen, not hidden.
#[derive(Serialize)]
struct Shown<'a> {
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
    seal: ShownSeal<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v1: Option<ShownV1<'a>>,
    log_index: Option<u64>,
}

#[derive(Serialize)]
struct ShownSeal<'a> {
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
struct ShownV1<'a> {
    payload_hash: &'a str,
    prev_hash: Option<&'a str>,
    signature: &'a str,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown(None).serialize(serializer)
    }
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.shown(self.unopened).serialize(serializer)
    }
}

impl Record {
    fn shown(&self, unopened: Option<Verdict>) -> Shown<'_> {
        let header = &self.header;
        let hexed = |bytes: &[u8]| (!bytes.is_empty()).then(|| hex::encode(bytes));
        Shown {
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
            seal: ShownSeal {
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
            v1: self.v1.as_ref().map(|V1 { payload_hash, prev_hash, signature }| ShownV1 {
                payload_hash,
                prev_hash: prev_hash.as_deref(),
                signature,
            }),
            log_index: self.log_index,
        }
    }

    /// The event as INTERFACE shows it, as a tree.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a record's members all have JSON forms")
    }

    /// The event as INTERFACE shows it, on one line.
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(self).expect("a record's members all have JSON forms")
    }
}

impl View {
    /// The event as INTERFACE shows it, on one line.
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(self).expect("a record's members all have JSON forms")
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Stored text as the JSON that it is, with the hash that was sealed.
struct Text<'a>(&'a str, Hash);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What was sealed is canonical: one line, every number in range. Other text was stored by somebody else, and an answer
        // may not be broken by it.
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) if Hash::of(self.0.as_bytes()) == self.1 => raw.serialize(serializer),
            _ => stored_json(self.0).serialize(serializer),
        }
    }
}

/// Stored text as a tree; text that no longer reads, as a string of itself.
pub(crate) fn stored_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
