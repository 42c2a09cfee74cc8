//! An event as a message: "a message is the stored bytes" (PROTOCOL, `JetStream`).
//!
//! | part | what it is |
//! |---|---|
//! | subject | `events.<tenant>.<priority>.<partition>.<type>` |
//! | body | the payload column; empty where only its hash is kept |
//! | `sealbus-leaf` | base64 of the leaf: the whole header and its seal |
//! | `sealbus-metadata` | the stored metadata text |
//! | `sealbus-request` | base64 of the request's MAC |
//! | `sealbus-v1` | the older contract's three columns as JSON, where the event has them |
//! | `Nats-Msg-Id` | hex of the event hash; a repair appends `.r<generation>` |
//! | `ce-…`, `traceparent` | the same for eyes and tools ([`attributes`](crate::attributes)) |
//!
//! What is read back is read from the first five alone, so that a message proves itself: nothing else in it is believed.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use sealbus_core::event::{FormatError, Leaf, Record, V1};
use sealbus_core::partition::PlanKey;

use crate::attributes;

pub(crate) const LEAF: &str = "sealbus-leaf";
const METADATA: &str = "sealbus-metadata";
const REQUEST: &str = "sealbus-request";
const V1_COLUMNS: &str = "sealbus-v1";

/// An event on its way.
#[derive(Clone, Debug)]
pub struct EventMessage {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why a record cannot be a message: it is not as Sealbus writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field is outside its limits, or the seal is not of its key's suite.
    #[error("it has no leaf: {0}")]
    Format(FormatError),
    /// The fields do not hash to the stored event hash.
    #[error("its fields do not hash to its event hash")]
    EventHash,
    /// The type cannot be the end of a subject.
    #[error("its type is no subject")]
    Subject,
}

/// Why a message is no event of Sealbus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A header that every event has is missing.
    #[error("no header {0}")]
    Missing(&'static str),
    /// A header does not hold what it should.
    #[error("header {0} cannot be read")]
    Malformed(&'static str),
    /// The leaf breaks the format.
    #[error("the leaf cannot be read: {0}")]
    Leaf(FormatError),
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    Body,
}

impl EventMessage {
    /// The message of a record, in a ledger of so many partitions.
    ///
    /// # Errors
    /// Where the record is not as it was sealed: what is sent can always be read back, and hashes to its id.
    pub fn encode(record: &Record, partitions: u32) -> Result<Self, EncodeError> {
        let header = &record.header;
        let partition = PlanKey::of(&header.tenant, &header.plan).partition(partitions);
        let subject = format!("events.{}.{}.{partition}.{}", header.tenant, record.priority(), header.event_type);
        if header.event_type.split('.').any(|token| token.is_empty() || token.contains(['*', '>'])) {
            return Err(EncodeError::Subject);
        }
        let mut message = bare(record)?;
        message.subject = subject;
        message.headers.insert(NATS_MESSAGE_ID, record.event_hash.to_string());
        attributes::write(record, &mut message.headers);
        Ok(message)
    }

    /// The same message for a stream that lost it: within the duplicate window it would count as one known already.
    #[must_use]
    pub fn as_repair(mut self, generation: i64) -> Self {
        let id = self.header(NATS_MESSAGE_ID.as_ref()).unwrap_or_default().to_owned();
        self.headers.insert(NATS_MESSAGE_ID, format!("{id}.r{generation}"));
        self
    }

    /// Where it goes.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// The stored payload text.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The record that this message is of, without its log index, which no message carries.
    pub fn decode(&self) -> Result<Record, DecodeError> {
        decode(Some(&self.headers), &self.body)
    }
}

/// What is read back of a record, without a subject.
pub(crate) fn bare(record: &Record) -> Result<EventMessage, EncodeError> {
    let leaf = record.leaf();
    Leaf::decode(&leaf).map_err(EncodeError::Format)?;
    if record.header.hash() != record.event_hash {
        return Err(EncodeError::EventHash);
    }
    let mut headers = HeaderMap::new();
    headers.insert(LEAF, BASE64_STANDARD.encode(leaf));
    headers.insert(METADATA, one_line(&record.metadata));
    if !record.request_mac.is_empty() {
        headers.insert(REQUEST, BASE64_STANDARD.encode(&record.request_mac));
    }
    if let Some(v1) = &record.v1 {
        // A struct of three texts cannot fail to be JSON.
        headers.insert(V1_COLUMNS, serde_json::to_string(v1).unwrap_or_default());
    }
    let body = record.payload.as_deref().map_or_else(Bytes::new, |payload| Bytes::copy_from_slice(payload.as_bytes()));
    Ok(EventMessage { subject: String::new(), headers, body })
}

/// Stored metadata as a header holds it. Canonical text has neither line breaks nor space around it. In text that somebody
/// has reformatted they are white space between tokens, which a seal does not cover, and a header cannot hold.
fn one_line(metadata: &str) -> String {
    metadata.trim().replace(['\r', '\n'], " ")
}

pub(crate) fn decode(headers: Option<&HeaderMap>, body: &[u8]) -> Result<Record, DecodeError> {
    let header = |name| headers.and_then(|headers| headers.get(name)).map(async_nats::HeaderValue::as_str);
    let base64 = |name, text| BASE64_STANDARD.decode(text).map_err(|_| DecodeError::Malformed(name));

    let leaf = base64(LEAF, header(LEAF).ok_or(DecodeError::Missing(LEAF))?)?;
    let Leaf { header: fields, mac, sig } = Leaf::decode(&leaf).map_err(DecodeError::Leaf)?;
    let metadata = header(METADATA).ok_or(DecodeError::Missing(METADATA))?.to_owned();
    let request_mac = header(REQUEST).map_or(Ok(Vec::new()), |text| base64(REQUEST, text))?;
    let v1 = header(V1_COLUMNS)
        .map(serde_json::from_str::<V1>)
        .transpose()
        .map_err(|_| DecodeError::Malformed(V1_COLUMNS))?;
    let payload = std::str::from_utf8(body).map_err(|_| DecodeError::Body)?;
    // No JSON text is empty: an empty body is a payload that is not there, whatever the mode says of that.
    let payload = (!payload.is_empty()).then(|| payload.to_owned());
    Ok(Record {
        event_hash: fields.hash(),
        header: fields,
        mac,
        sig,
        payload,
        metadata,
        request_mac,
        v1,
        log_index: None,
    })
}
