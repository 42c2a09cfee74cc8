//! From a request to an event whose payload is encrypted for its data subject.

use std::fmt;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Context, Draft, EventRequest, Limits, UnderKey, check_text};
use crate::canonical;
use crate::catalog::{Catalog, Rule};
use crate::envelope::{Binding, DataKey, DataSubject, Envelope, Nonce, Plaintext};
use crate::error::{ErrorKind, Refused};
use crate::event::PayloadMode;
use crate::hash::Hash;
use crate::names::{Plan, Tenant};

/// A request that was accepted.
#[derive(Debug)]
pub enum Prepared {
    /// The ledger can append it as it is.
    Ready(Draft),
    /// The catalog wants it encrypted first.
    ToEncrypt(ToEncrypt),
}

impl Prepared {
    /// The event's id.
    pub fn event_id(&self) -> Uuid {
        match self {
            Self::Ready(draft) => draft.event_id,
            Self::ToEncrypt(waiting) => waiting.event_id(),
        }
    }
}

/// An accepted event that waits for its data subject's key. It does not print what it holds.
pub struct ToEncrypt {
    subject: DataSubject,
    tenant: Tenant,
    plan: Plan,
    /// Its payload is still the data, its metadata are the clear ones.
    draft: Draft,
    /// The metadata that are encrypted with the data.
    hidden: String,
}

impl EventRequest {
    /// Checks the request against the catalog and makes of it what the ledger appends, or what is to be encrypted first. All
    /// checks are made here, before a data key is looked up, so that none is made for a request that is refused.
    ///
    /// # Errors
    /// `unknown_event_type`, `schema_violation` (also where the data do not name their subject as the catalog says they do),
    /// `forbidden` (a type of the bus's own, another actor), `too_large`, the strict reader's codes for data and metadata,
    /// `invalid_field` (also where the catalog wants the type encrypted and does not say for whom); with pointers from the event.
    pub fn prepare(&self, context: &Context<'_>, catalog: &Catalog, limits: &Limits) -> Result<Prepared, Refused> {
        let rule = self.rule(catalog)?;
        let mut draft = self.draft(context, &rule, limits)?;
        if rule.content != PayloadMode::Encrypted {
            return Ok(Prepared::Ready(draft));
        }
        let subject = self.subject(&rule)?;
        let hidden = hide(&mut draft, rule.clear);
        let (tenant, plan) = (context.tenant.clone(), context.plan.clone());
        Ok(Prepared::ToEncrypt(ToEncrypt { subject, tenant, plan, draft, hidden }))
    }

    /// Whose data these are, by the catalog's pointer into them (RFC 6901).
    fn subject(&self, rule: &Rule<'_>) -> Result<DataSubject, Refused> {
        let Some(pointer) = rule.subject else {
            let detail = format!("the catalog wants {} encrypted and names no data subject", self.event_type);
            return Err(Refused::field(ErrorKind::InvalidField, "/type", "content", detail));
        };
        let refuse = |rule, detail| Refused::field(ErrorKind::SchemaViolation, format!("/data{pointer}"), rule, detail);
        let name = match self.content.data.pointer(pointer) {
            Some(Value::String(name)) => name,
            None | Some(Value::Null) => return Err(refuse("required", "names the data subject, and is required")),
            Some(_) => return Err(refuse("type", "names the data subject, and is a string")),
        };
        check_text(&format!("data{pointer}"), name, 255)
            .map_err(|refused| Refused { kind: ErrorKind::SchemaViolation, ..refused })?;
        Ok(DataSubject::parse(name).expect("check_text has the same rule"))
    }
}

/// Leaves of the draft's metadata what stays clear: the bus's own member, and what the catalog names. Gives the rest.
fn hide(draft: &mut Draft, clear: &[String]) -> String {
    let metadata: Map<String, Value> =
        serde_json::from_str(&draft.metadata).expect("a draft's metadata are a canonical object");
    let (kept, hidden): (Map<_, _>, Map<_, _>) =
        metadata.into_iter().partition(|(name, _)| name == "sealbus" || clear.contains(name));
    draft.metadata = canonical::write(&Value::Object(kept));
    canonical::write(&Value::Object(hidden))
}

impl ToEncrypt {
    /// Whose data these are: the tenant's current data key of this subject is to encrypt them.
    pub fn subject(&self) -> &DataSubject {
        &self.subject
    }

    /// The event's id.
    pub fn event_id(&self) -> Uuid {
        self.draft.event_id
    }

    /// What the ledger appends: the draft with its payload in an envelope under this key, bound to the event of this
    /// deployment. One nonce serves one envelope. It can be done again, where the key was erased meanwhile.
    pub fn encrypt(&self, origin: &str, key: &DataKey, nonce: Nonce) -> Draft {
        let Self { tenant, plan, draft, hidden, .. } = self;
        let binding = Binding {
            origin,
            tenant: tenant.as_str(),
            plan: plan.as_str(),
            event_id: draft.event_id,
            event_type: &draft.event_type,
            data_version: draft.data_version,
        };
        let data = draft.payload.clone().expect("only what is hash-only has no payload");
        let plaintext = Plaintext { data, metadata: hidden.clone() };
        let envelope = Envelope::seal(key, nonce, &binding, &plaintext).to_text();
        let request_mac = key.request_mac(origin, tenant.as_str(), draft.request.as_bytes());
        Draft {
            encrypted: Some(UnderKey { key_id: key.key_id(), request_mac }),
            payload_size: u32::try_from(envelope.len()).expect("data and metadata are capped far below 3 GiB"),
            payload_hash: Hash::of(envelope.as_bytes()),
            payload: Some(envelope),
            ..draft.clone()
        }
    }
}

impl fmt::Debug for ToEncrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToEncrypt({})", self.draft.event_id)
    }
}

#[cfg(test)]
mod tests;
