//! Preparing a request for the ledger: canonical texts, hashes, id, and the text of the request.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Content, EventRequest, Limits};
use crate::canonical;
use crate::catalog::{Catalog, Rule};
use crate::error::{ErrorKind, Refused};
use crate::event::{EventIdentity, PayloadMode, Priority, event_id};
use crate::hash::Hash;
use crate::names::{Plan, Tenant, is_reserved_type};
use crate::timestamp::Timestamp;

/// The source with which an idempotency key is hashed into an event id.
const KEY_SOURCE: &str = "idempotency-key";

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
    /// Idempotency key of the event. In an array it is followed by a slash and the index of the event.
    pub idempotency_key: Option<String>,
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
    pub(super) fn draft(&self, context: &Context<'_>, rule: &Rule<'_>, limits: &Limits) -> Result<Draft, Refused> {
        self.check_members(limits)?;
        let payload = self.payload(rule, limits)?;
        let payload_hash = Hash::of(payload.as_bytes());
        let identity = self.identity(context)?;
        let (actor, by) = self.actor(context)?;
        let metadata = self.sealed_metadata(context, identity.external, by)?;
        let request = self.request_text(context.plan, identity.id, &payload_hash);
        Ok(Draft {
            event_id: identity.id,
            data_version: self.version.unwrap_or(1),
            occurred: self.occurred_at,
            actor,
            payload_mode: rule.content,
            payload_size: u32::try_from(payload.len())
                .expect("the strict reader limits a payload to far less than 4 GiB"),
            payload_hash,
            payload: (rule.content != PayloadMode::HashOnly).then_some(payload),
            metadata,
            request,
            encrypted: None,
            event_type: self.event_type.to_string(),
            source: self.source.clone().unwrap_or_default(),
            correlation_id: self.correlation_id.clone().unwrap_or_default(),
            causation_id: self.causation_id.clone().unwrap_or_default(),
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

    fn check_members(&self, limits: &Limits) -> Result<(), Refused> {
        let metadata = self.metadata.iter().flat_map(Map::values).map(members).sum::<usize>();
        if members(&self.content.data) + metadata <= limits.members {
            return Ok(());
        }
        let detail = format!("data and metadata of an event must have at most {} members and elements", limits.members);
        Err(Refused::new(ErrorKind::TooLarge, detail))
    }

    /// Returns the canonical data after checking them against the type's schema.
    fn payload(&self, rule: &Rule<'_>, limits: &Limits) -> Result<String, Refused> {
        let payload = canonical::check(&self.content.data, canonical::Limits::PAYLOAD)
            .map_err(|refused| refused.in_request("/data"))?;
        if payload.len() > limits.event_bytes {
            let detail = format!("the data has {} bytes; the limit is {}", payload.len(), limits.event_bytes);
            return Err(Refused::field(ErrorKind::TooLarge, "/data", "maxBytes", detail));
        }
        let errors = rule.validate(&self.content.data);
        let Some(first) = errors.first() else { return Ok(payload) };
        let detail = format!("{}: {} ({})", first.pointer, first.detail, first.rule);
        Err(Refused { kind: ErrorKind::SchemaViolation, detail, errors })
    }

    fn identity(&self, context: &Context<'_>) -> Result<EventIdentity, Refused> {
        let tenant = context.tenant.as_str();
        let derived = match (&self.id, &context.idempotency_key) {
            (Some(id), _) => event_id(tenant, self.source.as_deref().unwrap_or_default(), id),
            // The key is stored in the metadata. It is not an id that the producer gave.
            (None, Some(key)) => {
                event_id(tenant, KEY_SOURCE, key).map(|identity| EventIdentity { external: None, ..identity })
            }
            (None, None) => Ok(EventIdentity { id: context.fresh_id, external: None }),
        };
        derived.map_err(|error| Refused::field(ErrorKind::InvalidField, "/id", "format", error.to_string()))
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
    fn sealed_metadata(
        &self,
        context: &Context<'_>,
        external: Option<String>,
        by: Option<String>,
    ) -> Result<String, Refused> {
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
            ("idempotency_key", context.idempotency_key.clone()),
            ("traceparent", context.traceparent.clone()),
        ];
        let own: Map<_, _> =
            own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))).collect();
        let mut metadata = self.metadata.clone().unwrap_or_default();
        metadata.insert("sealbus".to_owned(), Value::Object(own));
        canonical::check(&Value::Object(metadata), canonical::Limits::METADATA)
            .map_err(|refused| refused.in_request("/metadata"))
    }

    /// Returns the canonical JSON of the members of the request.
    ///
    /// Absent members are null, times are strings of microseconds (which exceed 2⁵³), the data is its hash, and the trace context
    /// is left out. The id is that of the event, given or new: a caller that learned a new id from an unknown outcome can repeat
    /// the request with it.
    fn request_text(&self, plan: &Plan, event_id: Uuid, payload_hash: &Hash) -> String {
        let micros = |time: Option<Timestamp>| time.map(|time| time.micros().to_string());
        canonical::write(&json!({
            "plan": plan.as_str(),
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
            "metadata": self.metadata,
            "data": payload_hash.to_string(),
            "encoding": self.content.base64.then_some("base64"),
            "content_type": self.content.content_type,
        }))
    }
}

/// Returns the number of members and elements of a value, at all depths.
fn members(value: &Value) -> usize {
    match value {
        Value::Array(elements) => elements.len() + elements.iter().map(members).sum::<usize>(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}
