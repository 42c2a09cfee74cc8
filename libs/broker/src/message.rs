//! The message of an event: its stored bytes (docs/spec/protocol.md#jetstream-message).
//!
//! | part | value |
//! |---|---|
//! | subject | `events.<tenant>.<priority>.<partition>.<type>` |
//! | body | the `payload` column, empty if only the payload's hash is stored |
//! | `sealbus-leaf` | base64 of the leaf: the whole header and its seal |
//! | `sealbus-metadata` | the stored metadata text |
//! | `sealbus-request` | base64 of the request's MAC |
//! | `sealbus-v1` | the three columns of scheme v1 as JSON, if the event has them |
//! | `Nats-Msg-Id` | hex of the event hash |
//! | `ce-…`, `traceparent` | attributes for other tools ([`attributes`](crate::attributes)) |
//!
//! Decoding reads the body and the `sealbus-` headers only, and the record can then be verified by its seal. Nothing
//! else in a message is trusted.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use sealbus_core::event::{FormatError, Leaf, Record, V1};
use sealbus_core::partition::PlanKey;

use crate::attributes;

const LEAF: &str = "sealbus-leaf";
const METADATA: &str = "sealbus-metadata";
const REQUEST: &str = "sealbus-request";
const V1_COLUMNS: &str = "sealbus-v1";

/// The message of an event.
#[derive(Clone, Debug)]
pub struct EventMessage {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The reason why a record cannot be encoded: it is not as Sealbus stored it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field is out of range, or the seal does not match the suite of its key.
    #[error("the record cannot be encoded as a leaf: {0}")]
    Format(FormatError),
    /// The fields do not hash to the stored event hash.
    #[error("the record's fields do not hash to its event hash")]
    EventHash,
    /// The event type is not valid as the end of a subject.
    #[error("the event type is not valid in a subject")]
    Subject,
}

/// The reason why a message is not an event of Sealbus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A required header is missing.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// The value of a header is malformed.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
    /// The leaf violates the format.
    #[error("the leaf is malformed: {0}")]
    Leaf(FormatError),
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    Body,
}

impl EventMessage {
    /// Encodes a record of a ledger with this number of partitions.
    ///
    /// # Errors
    /// If the record is not as it was sealed. Every message can therefore be decoded again, and its event hash is its
    /// id.
    pub fn encode(record: &Record, partitions: u32) -> Result<Self, EncodeError> {
        let header = &record.header;
        if header.event_type.split('.').any(|token| token.is_empty() || token.contains(['*', '>'])) {
            return Err(EncodeError::Subject);
        }
        let mut message = without_subject(record)?;
        let partition = PlanKey::of(&header.tenant, &header.plan).partition(partitions);
        message.subject =
            format!("events.{}.{}.{partition}.{}", header.tenant, record.priority().as_str(), header.event_type);
        message.headers.insert(NATS_MESSAGE_ID, record.event_hash.to_string());
        attributes::write(record, &mut message.headers);
        Ok(message)
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// The body, which is the stored payload text.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Decodes the record. It has no log index, since messages do not contain one.
    pub fn decode(&self) -> Result<Record, DecodeError> {
        decode(Some(&self.headers), &self.body)
    }
}

/// Encodes the parts of a message that decoding reads. The subject is left empty.
pub(crate) fn without_subject(record: &Record) -> Result<EventMessage, EncodeError> {
    let leaf = record.leaf();
    Leaf::decode(&leaf).map_err(EncodeError::Format)?;
    if record.header.hash() != record.event_hash {
        return Err(EncodeError::EventHash);
    }
    let mut headers = HeaderMap::new();
    headers.insert(LEAF, BASE64_STANDARD.encode(leaf));
    // A header cannot contain line breaks and surrounding space. Canonical text has none. In text that was reformatted
    // in the database they are white space between tokens, which the seal does not cover.
    headers.insert(METADATA, record.metadata.trim().replace(['\r', '\n'], " "));
    if !record.request_mac.is_empty() {
        headers.insert(REQUEST, BASE64_STANDARD.encode(&record.request_mac));
    }
    if let Some(v1) = &record.v1 {
        headers.insert(V1_COLUMNS, serde_json::to_string(v1).expect("a struct of strings can be serialised"));
    }
    let body = Bytes::copy_from_slice(record.payload.as_deref().unwrap_or_default().as_bytes());
    Ok(EventMessage { subject: String::new(), headers, body })
}

/// Decodes the record of a message, without its log index. The seal is not checked.
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
    // No JSON text is empty: an empty body means that the payload is missing, whatever the payload mode is.
    let payload = (!payload.is_empty()).then(|| payload.to_owned());
    let event_hash = fields.hash();
    Ok(Record { event_hash, header: fields, mac, sig, payload, metadata, request_mac, v1, log_index: None })
}
