//! From a request to an event whose payload is encrypted for its data subject.

use std::fmt;

use serde_json::{Map, Value};

use super::{Context, Draft, EventRequest, Limits, check_text};
use crate::{
    canonical,
    catalog::{Catalog, Rule},
    envelope::{Binding, DataKey, DataSubject, Envelope, Nonce, Plaintext},
    error::{ErrorKind, Refused},
    event::PayloadMode,
    hash::Hash,
    names::{Plan, Tenant},
};

/// A request that was accepted.
#[derive(Debug)]
pub enum Prepared {
    /// The ledger can append it as it is.
    Ready(Draft),
    /// The catalog wants it encrypted first.
    ToEncrypt(ToEncrypt),
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
    /// As [`EventRequest::prepare`], but that an event of a type that the catalog wants encrypted is taken too. All checks are
    /// made here, before its data key is looked up, so that none is made for a request that is refused.
    ///
    /// # Errors
    /// Those of [`EventRequest::prepare`]; `schema_violation` where the data do not name their subject as the catalog says they
    /// do, `invalid_field` where the catalog does not say.
    pub fn prepare_any(&self, context: &Context<'_>, catalog: &Catalog, limits: &Limits) -> Result<Prepared, Refused> {
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

    /// What the ledger appends: the draft with its payload in an envelope under this key, bound to the event of this
    /// deployment. One nonce serves one envelope.
    ///
    /// Its `request` is to be hashed under the same key ([`DataKey::request_mac`]).
    pub fn encrypt(self, origin: &str, key: &DataKey, nonce: Nonce) -> Draft {
        let ToEncrypt { tenant, plan, draft, hidden, .. } = self;
        let binding = Binding {
            origin,
            tenant: tenant.as_str(),
            plan: plan.as_str(),
            event_id: draft.event_id,
            event_type: &draft.event_type,
            data_version: draft.data_version,
        };
        let data = draft.payload.expect("only what is hash-only has no payload");
        let envelope = Envelope::seal(key, nonce, &binding, &Plaintext { data, metadata: hidden }).to_text();
        Draft {
            payload_size: u32::try_from(envelope.len()).expect("data and metadata are capped far below 3 GiB"),
            payload_hash: Hash::of(envelope.as_bytes()),
            payload: Some(envelope),
            ..draft
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
