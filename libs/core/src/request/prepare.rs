//! Preparing a request for the ledger: canonical texts, hashes, id, and the text of the request.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Content, EventKey, EventRequest, Limits};
use crate::canonical::{self, Text};
use crate::catalog::{Catalog, Rule};
use crate::error::{ErrorKind, Refused};
use crate::event::{EventIdentity, PayloadMode, Priority, event_id};
use crate::hash::Hash;
use crate::names::{Plan, Tenant, is_reserved_type};
use crate::timestamp::Timestamp;

/// What is known about a request in addition to its members.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Tenant.
    pub tenant: &'a Tenant,
    /// Plan.
    pub plan: &'a Plan,
    /// Name of the token. It is the actor unless the request names another.
    pub credential: &'a str,
    /// Whether the token may name another actor.
    pub any_actor: bool,
    /// Idempotency key of the event.
    pub idempotency_key: Option<EventKey>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// A new `UUIDv7`, the id of the event if neither the request nor an idempotency key determines one.
    pub fresh_id: Uuid,
}

/// An accepted event that has no place in its plan yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Event id: given, derived from the given id or the idempotency key, or new.
    pub event_id: Uuid,
    /// Event type, which the catalog has.
    pub event_type: String,
    /// Version of the type's data.
    pub data_version: u32,
    /// Time of the event, if the producer stated it.
    pub occurred: Option<Timestamp>,
    /// Producer, or empty.
    pub source: String,
    /// Actor.
    pub actor: String,
    /// Correlation id, or empty.
    pub correlation_id: String,
    /// Causation id, or empty.
    pub causation_id: String,
    /// How the payload is stored.
    pub payload_mode: PayloadMode,
    /// Canonical payload (an envelope if it is encrypted); `None` if only its hash is stored.
    pub payload: Option<String>,
    /// Number of bytes of the canonical payload.
    pub payload_size: u32,
    /// SHA-256 of the canonical payload.
    pub payload_hash: Hash,
    /// Canonical metadata, including the member `sealbus`.
    pub metadata: String,
    /// Canonical JSON of the parsed request. Two requests with the same id are equal if it is equal. It contains the hash of the
    /// unencrypted data, so only a MAC of it is stored.
    pub request: String,
    /// The data key, if the event is encrypted.
    pub encrypted: Option<UnderKey>,
}

/// The data key under which a draft is encrypted, and the MAC by which a repeated request is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderKey {
    /// Id of the data key that the envelope names.
    pub key_id: Uuid,
    /// MAC of [`Draft::request`] with the data key ([`crate::envelope::DataKey::request_mac`]).
    pub request_mac: [u8; 32],
}

impl EventRequest {
    /// Returns the draft. If the type is encrypted, the draft still contains the data and all metadata in clear.
    pub(super) fn draft(self, context: &Context<'_>, payload_mode: PayloadMode) -> Result<Draft, Refused> {
        let identity = self.identity(context)?;
        let (actor, by) = self.actor(context)?;
        let metadata = self.sealed_metadata(context, identity.external, by).into_string();
        let payload_hash = Hash::of(self.content.data.as_str().as_bytes());
        let request = self.request_text(context, identity.id, &payload_hash);
        let payload = self.content.data.into_string();
        Ok(Draft {
            event_id: identity.id,
            data_version: self.version.unwrap_or(1),
            occurred: self.occurred_at,
            actor,
            payload_mode,
            payload_size: u32::try_from(payload.len())
                .expect("the strict reader limits a payload to far less than 4 GiB"),
            payload_hash,
            payload: (payload_mode != PayloadMode::HashOnly).then_some(payload),
            metadata,
            request,
            encrypted: None,
            event_type: self.event_type.to_string(),
            source: self.source.unwrap_or_default(),
            correlation_id: self.correlation_id.unwrap_or_default(),
            causation_id: self.causation_id.unwrap_or_default(),
        })
    }

    pub(super) fn rule<'a>(&self, catalog: &'a Catalog) -> Result<Rule<'a>, Refused> {
        let event_type = self.event_type.as_str();
        if is_reserved_type(event_type) {
            let detail = format!("only Sealbus writes events of type {event_type}");
            return Err(Refused::field(ErrorKind::Forbidden, "/type", "reserved", detail));
        }
        let resolved = catalog.resolve(event_type, self.version.unwrap_or(1));
        resolved.map_err(|unknown| Refused::field(ErrorKind::UnknownEventType, "/type", "catalog", unknown.to_string()))
    }

    /// Checks the data and the metadata against their limits, and the data against the type's schema.
    pub(super) fn check_content(&self, rule: &Rule<'_>, limits: &Limits) -> Result<(), Refused> {
        let refuse = |kind, pointer, rule, detail| Err(Refused::field(kind, pointer, rule, detail));
        let metadata = self.metadata.as_ref();
        let parts = self.content.data.node().parts() + metadata.map_or(0, |metadata| metadata.node().parts());
        if parts > limits.members {
            let detail =
                format!("data and metadata of an event must have at most {} members and elements", limits.members);
            return Err(Refused::new(ErrorKind::TooLarge, detail));
        }
        let size = self.content.data.as_str().len();
        if size > canonical::MAX_PAYLOAD {
            let detail = format!("the data has {size} bytes; the limit is {}", canonical::MAX_PAYLOAD);
            return refuse(ErrorKind::JsonSize, "/data", ErrorKind::JsonSize.code(), detail);
        }
        if size > limits.event_bytes {
            let detail = format!("the data has {size} bytes; the limit is {}", limits.event_bytes);
            return refuse(ErrorKind::TooLarge, "/data", "maxBytes", detail);
        }
        let size = metadata.map_or(0, |metadata| metadata.as_str().len());
        if size > canonical::MAX_METADATA {
            let detail = format!("the metadata has {size} bytes; the limit is {}", canonical::MAX_METADATA);
            return refuse(ErrorKind::JsonSize, "/metadata", ErrorKind::JsonSize.code(), detail);
        }
        let errors = rule.validate(self.content.data.node());
        let Some(first) = errors.first() else { return Ok(()) };
        let detail = format!("{}: {} ({})", first.pointer, first.detail, first.rule);
        Err(Refused { kind: ErrorKind::SchemaViolation, detail, errors })
    }

    fn identity(&self, context: &Context<'_>) -> Result<EventIdentity, Refused> {
        let tenant = context.tenant.as_str();
        let Some(id) = &self.id else {
            let of_key = |key: &EventKey| key.event_id(context.tenant);
            // A key is stored in the metadata. It is not an id that the producer gave.
            let id = context.idempotency_key.as_ref().map_or(context.fresh_id, of_key);
            return Ok(EventIdentity { id, external: None });
        };
        event_id(tenant, self.source.as_deref().unwrap_or_default(), id)
            .map_err(|error| Refused::field(ErrorKind::InvalidField, "/id", "format", error.to_string()))
    }

    /// Returns the actor, and the name of the token if it is not the actor.
    fn actor(&self, context: &Context<'_>) -> Result<(String, Option<String>), Refused> {
        let own = context.credential;
        match self.actor.as_deref().filter(|actor| *actor != own) {
            None => Ok((own.to_owned(), None)),
            Some(actor) if context.any_actor => Ok((actor.to_owned(), Some(own.to_owned()))),
            Some(_) => {
                let detail = "naming another actor than the token requires the scope actor.any";
                Err(Refused::field(ErrorKind::Forbidden, "/actor", "scope", detail))
            }
        }
    }

    /// Returns the canonical metadata: those of the caller, and the member `sealbus` with the properties of the event that are
    /// neither in the header nor in the payload.
    fn sealed_metadata(&self, context: &Context<'_>, external: Option<String>, by: Option<String>) -> Text {
        let Content { base64, content_type, .. } = &self.content;
        let priority = self.priority.filter(|priority| *priority != Priority::Normal);
        let own = [
            ("auth", Some("token".to_owned())),
            ("by", by),
            ("id", external),
            ("encoding", base64.then(|| "base64".to_owned())),
            ("content_type", content_type.clone()),
            ("priority", priority.map(|priority| priority.as_str().to_owned())),
            ("deliver_by", self.deliver_by.map(|time| time.to_string())),
            ("idempotency_key", context.idempotency_key.as_ref().map(EventKey::text)),
            ("idempotency_events", self.key_events(context).map(|events| events.to_string())),
            ("traceparent", context.traceparent.clone()),
        ];
        let own: Map<_, _> =
            own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))).collect();
        let own = Text::from(&Value::Object(own));
        let given = self.metadata.as_ref().and_then(|metadata| metadata.node().members()).into_iter().flatten();
        let given = given.map(|(name, value)| (name, value.text()));
        Text::object(given.chain([("sealbus".into(), own.as_str())]))
    }

    /// Returns the number of events in the array of this event, if its id is made from an idempotency key.
    fn key_events(&self, context: &Context<'_>) -> Option<usize> {
        context.idempotency_key.as_ref().filter(|_| self.id.is_none()).and_then(EventKey::events)
    }

    /// Returns the canonical JSON of the members of the request.
    ///
    /// Absent members are null, times are strings of microseconds (which exceed 2⁵³), the data is its hash, and the trace context
    /// is left out. The id is that of the event, given or new: a caller that learned a new id from an unknown outcome can repeat
    /// the request with it.
    fn request_text(&self, context: &Context<'_>, event_id: Uuid, payload_hash: &Hash) -> String {
        let micros = |time: Option<Timestamp>| time.map(|time| time.micros().to_string());
        let members = json!({
            "plan": context.plan.as_str(),
            "type": self.event_type.as_str(),
            "version": self.version,
            "id": event_id,
            "source": self.source,
            "actor": self.actor,
            "occurred_at": micros(self.occurred_at),
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "priority": self.priority.map(Priority::as_str),
            "deliver_by": micros(self.deliver_by),
            "data": payload_hash.to_string(),
            "encoding": self.content.base64.then_some("base64"),
            "content_type": self.content.content_type,
        });
        let members = Text::from(&members);
        let events = self.key_events(context).map(|events| events.to_string());
        let members = members.node().members().into_iter().flatten().map(|(name, value)| (name, value.text()));
        let metadata = self.metadata.as_ref().map_or("null", Text::as_str);
        let events = events.as_deref().map(|events| ("idempotency_events".into(), events));
        Text::object(members.chain([("metadata".into(), metadata)]).chain(events)).into_string()
    }
}
