//! Events as CloudEvents.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{HEADER_PREFIX, RECEIPT, SEALED, essence, header_value, is_attribute_name, is_attribute_value, is_json};
use crate::canonical::{Node, Text, stored_matches};
use crate::event::{PayloadMode, Record, View, stored_json};

/// An event whose stored texts are read as canonical JSON.
struct Stored<'a> {
    view: &'a View,
    metadata: Cow<'a, str>,
    /// The data, or `None` if only its hash is stored or the event has no data.
    data: Option<Cow<'a, str>>,
    /// Whether the payload is the sealed envelope, whose media type differs from that of the data in it.
    is_envelope: bool,
}

impl<'a> Stored<'a> {
    fn new(view: &'a View) -> Self {
        let Record { header, payload, metadata, .. } = &*view.record;
        let payload = payload.as_deref().filter(|payload| *payload != "null");
        let is_envelope = header.payload_mode == PayloadMode::Encrypted
            && payload.is_some_and(|payload| stored_matches(payload, &header.payload_hash));
        Self {
            view,
            metadata: stored_json(metadata, &header.metadata_hash),
            data: payload.map(|payload| stored_json(payload, &header.payload_hash)),
            is_envelope,
        }
    }

    /// Returns the member `name` of the object `sealbus` in the metadata, if it is a string.
    fn sealbus_metadata(&self, name: &str) -> Option<Cow<'_, str>> {
        Node::new(&self.metadata).member("sealbus")?.member(name)?.string()
    }

    /// Returns the media type of the data, if it is not JSON.
    fn media_type(&self) -> Option<Cow<'_, str>> {
        self.sealbus_metadata("content_type").filter(|_| !self.is_envelope)
    }

    /// Returns the bytes of data that is not JSON.
    ///
    /// A payload that was tampered with may not be base64. It then has no bytes, and verification reports the event.
    fn bytes(&self) -> Option<Vec<u8>> {
        let is_base64 =
            !self.is_envelope && self.sealbus_metadata("encoding").is_some_and(|encoding| encoding == "base64");
        let data = self.data.as_ref().filter(|_| is_base64)?;
        let text = Node::new(data).string().unwrap_or_default();
        Some(STANDARD.decode(&*text).unwrap_or_default())
    }

    /// Returns the attributes, extensions of the producer last, each with its canonical text.
    ///
    /// `id` is the id that the producer gave, even if it is not a UUID. `datacontenttype` is left out if there is no data.
    fn attributes(&self) -> Vec<(Cow<'_, str>, Text)> {
        let record = &self.view.record;
        let header = &record.header;
        let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(Text::string);
        // Without a media type nothing is known about bytes.
        let default_type = self.bytes().is_none().then_some("application/json");
        let media_type = self.media_type().or(default_type.map(Cow::Borrowed)).filter(|_| self.data.is_some());
        let attributes = [
            ("specversion", text("1.0")),
            (
                "id",
                Some(
                    self.sealbus_metadata("id")
                        .map_or_else(|| Text::from(&json!(header.event_id)), |id| Text::string(&id)),
                ),
            ),
            ("source", text(&header.source).or_else(|| text(&header.origin))),
            ("type", text(&header.event_type)),
            ("subject", text(&header.plan)),
            ("time", Some(Text::from(&json!(header.occurred)))),
            ("datacontenttype", media_type.as_deref().map(Text::string)),
            ("tenantid", text(&header.tenant)),
            ("actor", text(&header.actor)),
            ("correlationid", text(&header.correlation_id)),
            ("causationid", text(&header.causation_id)),
            ("dataversion", Some(Text::from(&json!(header.data_version)))),
            ("priority", text(record.priority().as_str())),
            ("deliverby", self.sealbus_metadata("deliver_by").as_deref().map(Text::string)),
            ("traceparent", self.sealbus_metadata("traceparent").as_deref().map(Text::string)),
            ("sequence", text(&header.seq.to_string())),
            ("unopened", self.view.unopened.and_then(|verdict| text(verdict.as_str()))),
            // These names have a meaning of their own, or are added to an answer, so they are never a producer's extensions.
            ("data", None),
            ("sealbus", None),
            (SEALED, None),
            (RECEIPT, None),
        ];
        let names = attributes.each_ref().map(|(name, _)| *name);
        let is_extension = |(name, value): &(Cow<'_, str>, Node<'_>)| {
            is_attribute_value(*value) && is_attribute_name(name) && !names.contains(&&**name)
        };
        let present = attributes.into_iter().filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)));
        let metadata = Node::new(&self.metadata).members().into_iter().flatten();
        present.chain(metadata.filter(is_extension).map(|(name, value)| (name, value.into()))).collect()
    }
}

/// Returns an event in structured mode, which is also an element of batch mode, with further attributes.
pub fn to_structured(view: &View, further: &[(&str, Text)]) -> Text {
    let stored = Stored::new(view);
    let attributes = stored.attributes();
    let data = match (stored.bytes(), &stored.data) {
        (None, data) => data.as_deref().map(|data| ("data", Cow::Borrowed(data))),
        (Some(bytes), _) => Some(match stored.media_type().and_then(|media_type| text_of(&bytes, &media_type)) {
            Some(text) => ("data", Cow::Owned(Text::string(text).into_string())),
            None => ("data_base64", Cow::Owned(Text::string(&STANDARD.encode(&bytes)).into_string())),
        }),
    };
    let attributes = attributes.iter().map(|(name, value)| (name.clone(), value.as_str()));
    let further = further.iter().map(|(name, value)| (Cow::Borrowed(*name), value.as_str()));
    let data = data.iter().map(|(name, text)| (Cow::Borrowed(*name), text.as_ref()));
    Text::object(attributes.chain(further).chain(data))
}

/// Returns an event in binary mode: its headers (`ce-…`, and `content-type` if there is data) with encoded values, and the bytes
/// of its data. Bytes whose media type is not known are `application/octet-stream`.
pub fn to_binary(view: &View) -> (Vec<(String, String)>, Vec<u8>) {
    let stored = Stored::new(view);
    let headers = stored.attributes().into_iter().map(|(name, value)| {
        let text = value.node().string().map_or_else(|| value.as_str().to_owned(), Cow::into_owned);
        if name == "datacontenttype" {
            return ("content-type".to_owned(), text);
        }
        (format!("{HEADER_PREFIX}{name}"), header_value(&text))
    });
    let mut headers: Vec<_> = headers.collect();
    if stored.data.is_some() && headers.iter().all(|(name, _)| name != "content-type") {
        headers.push(("content-type".to_owned(), "application/octet-stream".to_owned()));
    }
    let body = stored.bytes().or_else(|| stored.data.as_ref().map(|data| data.as_bytes().to_vec()));
    (headers, body.unwrap_or_default())
}

/// Returns bytes of this media type as text, if they are text in UTF-8 that a JSON string can hold. The bytes of a JSON string
/// with this media type are the same again.
fn text_of<'a>(bytes: &'a [u8], media_type: &str) -> Option<&'a str> {
    let charset = media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    let is_text = essence(media_type).starts_with("text/")
        && !is_json(media_type)
        && charset.is_none_or(|charset| ["utf-8", "us-ascii"].contains(&charset.as_str()));
    str::from_utf8(bytes).ok().filter(|text| is_text && !text.contains('\0'))
}
