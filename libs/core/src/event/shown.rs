//! The JSON form of an event (docs/spec/interface.md#event).

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::canonical::{self, Text};
use crate::event::Record;
use crate::hash::Hash;
use crate::json;
use crate::key_id::Suite;
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

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_event(self, None, serializer)
    }
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_event(&self.record, self.unopened, serializer)
    }
}

/// Serialises the JSON form of a record directly: stored texts are copied without being parsed into a tree.
///
/// A text that the event does not have is null. A stored text that is not JSON is shown as a string, because an edited row must
/// be visible (docs/spec/interface.md#event-stored-text).
fn serialize_event<S: Serializer>(
    record: &Record,
    unopened: Option<Verdict>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let header = &record.header;
    let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let mut event = serializer.serialize_map(None)?;
    event.serialize_entry("id", &header.event_id)?;
    event.serialize_entry("tenant", &header.tenant)?;
    event.serialize_entry("plan", &header.plan)?;
    event.serialize_entry("seq", &header.seq)?;
    event.serialize_entry("type", &header.event_type)?;
    event.serialize_entry("version", &header.data_version)?;
    event.serialize_entry("source", &given(&header.source))?;
    event.serialize_entry("actor", &given(&header.actor))?;
    event.serialize_entry("occurred_at", &header.occurred)?;
    event.serialize_entry("recorded_at", &header.recorded)?;
    event.serialize_entry("correlation_id", &given(&header.correlation_id))?;
    event.serialize_entry("causation_id", &given(&header.causation_id))?;
    event.serialize_entry("priority", &record.priority())?;
    event.serialize_entry("data", &record.payload.as_deref().map(|text| Stored(text, header.payload_hash)))?;
    if let Some(verdict) = unopened {
        event.serialize_entry("unopened", &verdict)?;
    }
    event.serialize_entry("metadata", &Stored(&record.metadata, header.metadata_hash))?;
    event.serialize_entry("seal", &Seal(record))?;
    if let Some(v1) = &record.v1 {
        event.serialize_entry("v1", v1)?;
    }
    event.serialize_entry("log_index", &record.log_index)?;
    event.end()
}

/// The member `seal` of a record.
struct Seal<'a>(&'a Record);

impl Serialize for Seal<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record { header, event_hash, mac, sig, .. } = self.0;
        let mut seal = serializer.serialize_map(None)?;
        seal.serialize_entry("scheme", "v2")?;
        seal.serialize_entry("suite", &header.kid.suite().map(Suite::code))?;
        seal.serialize_entry("kid", &header.kid)?;
        seal.serialize_entry("payload_mode", &header.payload_mode)?;
        seal.serialize_entry("payload_size", &header.payload_size)?;
        seal.serialize_entry("payload_hash", &header.payload_hash)?;
        seal.serialize_entry("metadata_hash", &header.metadata_hash)?;
        seal.serialize_entry("prev", &header.prev)?;
        seal.serialize_entry("hash", event_hash)?;
        for (name, bytes) in [("mac", mac), ("sig", sig)] {
            if !bytes.is_empty() {
                seal.serialize_entry(name, &hex::encode(bytes))?;
            }
        }
        seal.end()
    }
}

impl Record {
    /// Returns the JSON form of the event as a tree.
    pub fn to_json(&self) -> Value {
        json::parse(self.to_json_text().as_bytes()).expect("the JSON form of a record is JSON")
    }

    /// Returns the JSON form of the event on one line.
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(self).expect("all members of a record have a JSON form")
    }
}

/// A stored text, and its sealed hash.
struct Stored<'a>(&'a str, Hash);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = stored_json(self.0, &self.1);
        let raw: &RawValue = serde_json::from_str(&text).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Returns a stored text as canonical JSON.
///
/// A text with the sealed hash is returned as it is. Any other text was changed after it was stored, and must not make an answer
/// invalid: it is read and written again, and if that is impossible without changing a value, it becomes a JSON string.
pub(crate) fn stored_json<'a>(text: &'a str, sealed: &Hash) -> Cow<'a, str> {
    if Hash::of(text.as_bytes()) == *sealed {
        return Cow::Borrowed(text);
    }
    Cow::Owned(canonical::stored(text).unwrap_or_else(|| Text::string(text)).into_string())
}
