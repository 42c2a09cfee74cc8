//! Preparing requests whose payload is encrypted for a data subject.

use std::fmt;

use uuid::Uuid;

use super::{Context, Draft, EventRequest, Limits, UnderKey, check_text};
use crate::canonical::{Node, Text};
use crate::catalog::{Catalog, Rule};
use crate::envelope::{Binding, DataKey, DataSubject, Envelope, Nonce, Plaintext};
use crate::error::{ErrorKind, Refused};
use crate::event::PayloadMode;
use crate::hash::Hash;
use crate::names::{Plan, Tenant};

/// An accepted request.
#[derive(Debug)]
pub enum Prepared {
    /// The ledger can append the draft.
    Ready(Draft),
    /// The payload must be encrypted first.
    ToEncrypt(ToEncrypt),
}

impl Prepared {
    /// Returns the event id.
    pub fn event_id(&self) -> Uuid {
        match self {
            Self::Ready(draft) => draft.event_id,
            Self::ToEncrypt(waiting) => waiting.event_id(),
        }
    }
}

/// An accepted event whose payload must be encrypted. Its content is not printed.
pub struct ToEncrypt {
    subject: DataSubject,
    tenant: Tenant,
    plan: Plan,
    /// The draft of the event. Its payload is the unencrypted data; its metadata are those that stay clear.
    draft: Draft,
    /// The metadata that are encrypted together with the data.
    encrypted_metadata: String,
}

impl EventRequest {
    /// Checks the request against the catalog and returns a draft, or an event that must be encrypted first. All checks are made
    /// here, before a data key is looked up, so that no data key is created for a refused request.
    ///
    /// # Errors
    /// The errors have pointers into the event: `unknown_event_type`; `schema_violation` (also if the data do not name their
    /// subject where the catalog declares it); `forbidden` (a reserved type, or another actor); `too_large`; the codes of the
    /// strict reader for data and metadata; `invalid_field` (also if the catalog encrypts the type but declares no subject).
    pub fn prepare(self, context: &Context<'_>, catalog: &Catalog, limits: &Limits) -> Result<Prepared, Refused> {
        let rule = self.rule(catalog)?;
        self.check_content(&rule, limits)?;
        if rule.content != PayloadMode::Encrypted {
            return self.draft(context, rule.content).map(Prepared::Ready);
        }
        let subject = self.subject(&rule)?;
        let mut draft = self.draft(context, rule.content)?;
        let encrypted_metadata = split_metadata(&mut draft, rule.clear);
        let (tenant, plan) = (context.tenant.clone(), context.plan.clone());
        Ok(Prepared::ToEncrypt(ToEncrypt { subject, tenant, plan, draft, encrypted_metadata }))
    }

    /// Returns the data subject, which the catalog declares by a JSON pointer into the data.
    fn subject(&self, rule: &Rule<'_>) -> Result<DataSubject, Refused> {
        let Some(pointer) = rule.subject else {
            let detail = format!("the catalog encrypts {} but declares no data subject", self.event_type);
            return Err(Refused::field(ErrorKind::InvalidField, "/type", "content", detail));
        };
        let refuse = |rule, detail| Refused::field(ErrorKind::SchemaViolation, format!("/data{pointer}"), rule, detail);
        let value = self.content.data.node().pointer(pointer).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| refuse("required", "is required, because it names the data subject"))?;
        let name = value.string();
        let name = name.ok_or_else(|| refuse("type", "must be a string, because it names the data subject"))?;
        check_text(&format!("data{pointer}"), &name, 255)
            .map_err(|refused| Refused { kind: ErrorKind::SchemaViolation, ..refused })?;
        Ok(DataSubject::parse(&name).expect("check_text has the same rule"))
    }
}

/// Removes from the draft the metadata that are encrypted, and returns them. The member `sealbus` and the members in `clear`
/// stay.
fn split_metadata(draft: &mut Draft, clear: &[String]) -> String {
    let metadata = Node::new(&draft.metadata);
    let stays = |name: &str| name == "sealbus" || clear.iter().any(|clear| clear == name);
    let part = |of_clear: bool| {
        let members = metadata.members().expect("metadata are an object").filter(|(name, _)| stays(name) == of_clear);
        Text::object(members.map(|(name, value)| (name, value.text()))).into_string()
    };
    let (clear, encrypted) = (part(true), part(false));
    draft.metadata = clear;
    encrypted
}

impl ToEncrypt {
    /// Returns the data subject, with whose current data key the payload is to be encrypted.
    pub fn subject(&self) -> &DataSubject {
        &self.subject
    }

    /// Returns the event id.
    pub fn event_id(&self) -> Uuid {
        self.draft.event_id
    }

    /// Returns the draft with its payload in an envelope under `key`, bound to the event. A nonce must be used for one envelope
    /// only. The event can be encrypted again with another key, if the key was erased in the meantime.
    pub fn encrypt(&self, origin: &str, key: &DataKey, nonce: Nonce) -> Draft {
        let Self { tenant, plan, draft, encrypted_metadata, .. } = self;
        let binding = Binding {
            origin,
            tenant: tenant.as_str(),
            plan: plan.as_str(),
            event_id: draft.event_id,
            event_type: &draft.event_type,
            data_version: draft.data_version,
        };
        let data = draft.payload.clone().expect("only a hash-only draft has no payload");
        let plaintext = Plaintext { data, metadata: encrypted_metadata.clone() };
        let envelope = Envelope::seal(key, nonce, &binding, &plaintext).to_text();
        let request_mac = key.request_mac(origin, tenant.as_str(), draft.request.as_bytes());
        Draft {
            encrypted: Some(UnderKey { key_id: key.key_id(), request_mac }),
            payload_size: u32::try_from(envelope.len()).expect("data and metadata are limited to far less than 3 GiB"),
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
