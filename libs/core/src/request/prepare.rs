//! From a request to what the ledger appends: canonical texts, hashes, id, and the request's own text.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Content, EventRequest, Limits};
use crate::canonical;
use crate::catalog::{Catalog, Rule, is_own};
use crate::error::{ErrorKind, Refused};
use crate::event::{EventIdentity, PayloadMode, Priority, event_id};
use crate::hash::Hash;
use crate::names::{Plan, Tenant};
use crate::timestamp::Timestamp;

/// The source under which an idempotency key is a foreign id.
const KEY_SOURCE: &str = "idempotency-key";

/// What a request does not say itself.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Whose plan.
    pub tenant: &'a Tenant,
    /// Which plan.
    pub plan: &'a Plan,
    /// The name of the token that the request came with: the actor, unless another is named.
    pub credential: &'a str,
    /// Whether the token may name another actor.
    pub any_actor: bool,
    /// The idempotency key of this event (of an array: with its place behind a slash).
    pub idempotency_key: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The id where neither the request nor a key makes one: a fresh `UUIDv7`.
    pub fresh_id: Uuid,
}

/// An event that was accepted and has no place in its plan yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Given, derived, or fresh.
    pub event_id: Uuid,
    /// A type that the catalog knows.
    pub event_type: String,
    /// Version of the type's data.
    pub data_version: u32,
    /// When it happened, where the producer said so.
    pub occurred: Option<Timestamp>,
    /// Empty for none.
    pub source: String,
    /// Whom the event was taken from.
    pub actor: String,
    /// Empty for none.
    pub correlation_id: String,
    /// Empty for none.
    pub causation_id: String,
    /// How the payload is kept.
    pub payload_mode: PayloadMode,
    /// Canonical text, of the envelope where it is encrypted; none where only its hash is kept.
    pub payload: Option<String>,
    /// Bytes of the canonical payload or envelope.
    pub payload_size: u32,
    /// SHA-256 of the same.
    pub payload_hash: Hash,
    /// Canonical text, the bus's own member included.
    pub metadata: String,
    /// RFC 8785 of what the caller gave, parsed: two requests with one id are equal when this is. It holds the hash of the
    /// data themselves where those are encrypted, and goes nowhere but under a MAC.
    pub request: String,
    /// Of an encrypted event: under which data key it is.
    pub encrypted: Option<UnderKey>,
}

/// Under which data key a draft is encrypted, and by what a repeat of its request is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderKey {
    /// The data key, of the draft's tenant, that its envelope names.
    pub key_id: Uuid,
    /// The MAC of `request` under it ([`crate::envelope::DataKey::request_mac`]).
    pub request_mac: [u8; 32],
}

impl EventRequest {
    /// What the ledger appends; of a type that the catalog wants encrypted, with the data and all metadata still in it.
    pub(super) fn draft(&self, context: &Context<'_>, rule: &Rule<'_>, limits: &Limits) -> Result<Draft, Refused> {
        self.check_members(limits)?;
        let payload = self.payload(rule, limits)?;
        let payload_hash = Hash::of(payload.as_bytes());
        let identity = self.identity(context)?;
        let (actor, by) = self.actor(context)?;
        let metadata = self.sealed_metadata(context, identity.foreign, by)?;
        let request = self.request_text(context.plan, identity.id, &payload_hash);
        Ok(Draft {
            event_id: identity.id,
            data_version: self.version.unwrap_or(1),
            occurred: self.occurred_at,
            actor,
            payload_mode: rule.content,
            payload_size: u32::try_from(payload.len()).expect("the strict reader caps a payload far below 4 GiB"),
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

    /// Whether its id is made of the idempotency key, so that a conflict is one of the key.
    pub fn id_comes_from_key(&self, idempotency_key: Option<&str>) -> bool {
        self.id.is_none() && idempotency_key.is_some()
    }

    pub(super) fn rule<'a>(&self, catalog: &'a Catalog) -> Result<Rule<'a>, Refused> {
        let event_type = self.event_type.as_str();
        let refuse = |kind, rule, detail: String| Err(Refused::field(kind, "/type", rule, detail));
        if is_own(event_type) {
            return refuse(
                ErrorKind::Forbidden,
                "reserved",
                format!("events of type {event_type} are written by Sealbus alone"),
            );
        }
        match catalog.resolve(event_type, self.version.unwrap_or(1)) {
            Err(unknown) => refuse(ErrorKind::UnknownEventType, "catalog", unknown.to_string()),
            Ok(rule) => Ok(rule),
        }
    }

    fn check_members(&self, limits: &Limits) -> Result<(), Refused> {
        let metadata = self.metadata.iter().flat_map(Map::values).map(members).sum::<usize>();
        if members(&self.content.data) + metadata <= limits.members {
            return Ok(());
        }
        Err(Refused::new(
            ErrorKind::TooLarge,
            format!("data and metadata of an event hold at most {} members and elements", limits.members),
        ))
    }

    /// The canonical payload, checked by the type's schema.
    fn payload(&self, rule: &Rule<'_>, limits: &Limits) -> Result<String, Refused> {
        let payload = canonical::check(&self.content.data, canonical::Limits::PAYLOAD)
            .map_err(|refused| refused.in_request("/data"))?;
        if payload.len() > limits.event_bytes {
            let detail = format!("the data is {} bytes, and the cap is {}", payload.len(), limits.event_bytes);
            return Err(Refused::field(ErrorKind::TooLarge, "/data", "maxBytes", detail));
        }
        let errors = rule.validate(&self.content.data);
        match errors.first() {
            None => Ok(payload),
            Some(first) => {
                let detail = format!("{}: {} ({})", first.pointer, first.detail, first.rule);
                Err(Refused { kind: ErrorKind::SchemaViolation, detail, errors })
            }
        }
    }

    fn identity(&self, context: &Context<'_>) -> Result<EventIdentity, Refused> {
        let tenant = context.tenant.as_str();
        let derived = match (&self.id, &context.idempotency_key) {
            (Some(id), _) => event_id(tenant, self.source.as_deref().unwrap_or_default(), id),
            // The key itself is kept in the metadata; it is no id that the producer gave.
            (None, Some(key)) => {
                event_id(tenant, KEY_SOURCE, key).map(|identity| EventIdentity { foreign: None, ..identity })
            }
            (None, None) => Ok(EventIdentity { id: context.fresh_id, foreign: None }),
        };
        derived.map_err(|error| Refused::field(ErrorKind::InvalidField, "/id", "format", error.to_string()))
    }

    /// The actor, and the credential's name where the actor is another.
    fn actor(&self, context: &Context<'_>) -> Result<(String, Option<String>), Refused> {
        let own = context.credential;
        match self.actor.as_deref() {
            None => Ok((own.to_owned(), None)),
            Some(actor) if actor == own => Ok((own.to_owned(), None)),
            Some(actor) if context.any_actor => Ok((actor.to_owned(), Some(own.to_owned()))),
            Some(_) => {
                let detail = "naming another actor than the token's own needs the scope actor.any";
                Err(Refused::field(ErrorKind::Forbidden, "/actor", "scope", detail))
            }
        }
    }

    /// The caller's metadata with the bus's own member: what of the event stands in neither header nor payload.
    fn sealed_metadata(
        &self,
        context: &Context<'_>,
        foreign: Option<String>,
        by: Option<String>,
    ) -> Result<String, Refused> {
        let Content { base64, content_type, .. } = &self.content;
        let priority = self.priority.filter(|priority| *priority != Priority::Normal);
        let own = [
            ("auth", Some("token".to_owned())),
            ("by", by),
            ("id", foreign),
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

    /// RFC 8785 of the members that the caller gave: absent is null, times are microseconds (in digits, since they pass
    /// 2⁵³), data is its hash, and the trace context is left out. The id is the event's, given or minted, so that a caller
    /// who was told the minted id of an unknown outcome asks again with it and means the same event.
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

/// Members and elements of a value, at all depths.
fn members(value: &Value) -> usize {
    match value {
        Value::Array(elements) => elements.len() + elements.iter().map(members).sum::<usize>(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}
