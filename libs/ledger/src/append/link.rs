//! Linking an event to its predecessor: the header, its hash and its seal. Pure, except that it uses the signing key.

use std::collections::HashSet;

use sealbus_core::canonical::{self, Limits};
use sealbus_core::envelope::Envelope;
use sealbus_core::event::{Header, PayloadMode, Record, V1};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{KeyId, Keyring, Signer, Suite, V1Signer};
use sealbus_core::timestamp::Timestamp;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::call::{AppendError, Draft};
use super::locks::{Head, PlanState};
use crate::{Deployment, OpenError};

/// Makes headers and seals of new events. It holds everything that they depend on, except for the plan.
pub(super) struct Linker {
    origin: String,
    pub partitions: u32,
    signer: Signer,
    v1_signer: Option<V1Signer>,
    keyring: Keyring,
    v1_tenants: HashSet<String>,
}

impl Linker {
    /// # Errors
    /// [`OpenError::Keyring`] if the keyring has no usable active key, [`OpenError::NoV1Key`] if a tenant is set to carry
    /// scheme v1 and the keyring has no v1 key.
    pub(super) fn new(
        deployment: &Deployment,
        keyring: &Keyring,
        v1_tenants: HashSet<String>,
    ) -> Result<Self, OpenError> {
        let signer = keyring.signer().map_err(OpenError::Keyring)?;
        let v1_signer = keyring.v1_signer();
        if !v1_tenants.is_empty() && v1_signer.is_none() {
            return Err(OpenError::NoV1Key);
        }
        Ok(Self {
            origin: deployment.origin.clone(),
            partitions: deployment.partitions,
            signer,
            v1_signer,
            keyring: keyring.clone(),
            v1_tenants,
        })
    }

    /// Returns the id of the key that seals new events.
    pub(super) fn kid(&self) -> &KeyId {
        self.signer.kid()
    }

    /// Returns the record of the event that follows the plan's head. `now` is the database's clock.
    pub(super) fn link(&self, plan: &PlanState, draft: &Draft, now: Timestamp) -> Result<Record, AppendError> {
        let head = plan.head.as_ref();
        if self.signer.suite() == Suite::Hmac && head.is_some_and(|head| head.kid.suite() == Some(Suite::Ed25519)) {
            return Err(AppendError::SuiteDowngrade(self.signer.kid().clone()));
        }
        // Never earlier than the predecessor's, even if the clock was set back (docs/spec/protocol.md#append-recorded).
        let recorded = head.map_or(now, |head| head.recorded.max(now));
        let v1 = self.v1(plan, draft)?;
        // The columns of scheme v1 are not sealed. What says that the event carries them is.
        let metadata = if v1.is_some() { with_v1_mark(&draft.metadata) } else { draft.metadata.clone() };
        let header = Header {
            origin: self.origin.clone(),
            tenant: plan.tenant.clone(),
            plan: plan.plan.clone(),
            seq: head.map_or(1, |head| head.seq + 1),
            event_id: draft.event_id,
            event_type: draft.event_type.clone(),
            data_version: draft.data_version,
            occurred: draft.occurred.unwrap_or(recorded),
            recorded,
            source: draft.source.clone(),
            actor: draft.actor.clone(),
            correlation_id: draft.correlation_id.clone(),
            causation_id: draft.causation_id.clone(),
            payload_mode: draft.payload_mode,
            payload_size: draft.payload_size,
            payload_hash: draft.payload_hash,
            metadata_hash: Hash::of(metadata.as_bytes()),
            prev: head.map_or_else(|| Header::genesis(&self.origin, &plan.tenant, &plan.plan), |head| head.hash),
            kid: self.signer.kid().clone(),
        };
        // An event that the sealer would refuse must not be committed, because nothing could remove it again.
        header.validate().map_err(AppendError::Invalid)?;
        let event_hash = header.hash();
        let seal = self.signer.seal(&header, &event_hash);
        Ok(Record {
            v1,
            request_mac: match &draft.encrypted {
                Some(under) => under.request_mac.to_vec(),
                None => self.signer.request_mac(&self.origin, &plan.tenant, draft.request.as_bytes()).to_vec(),
            },
            header,
            event_hash,
            mac: seal.mac,
            sig: seal.sig,
            payload: draft.payload.clone(),
            metadata,
            log_index: None,
        })
    }

    /// Returns the columns of scheme v1, if the plan carries it: its tenant was set to it when the plan began.
    fn v1(&self, plan: &PlanState, draft: &Draft) -> Result<Option<V1>, AppendError> {
        let prev = match &plan.head {
            None if self.v1_tenants.contains(&plan.tenant) => None,
            Some(Head { v1: Some(prev), .. }) => Some(prev),
            _ => return Ok(None),
        };
        let signer = self.v1_signer.as_ref().ok_or_else(|| AppendError::NoV1Key(plan.plan.clone()))?;
        let columns = signer.columns(&plan.plan, &draft.event_type, &draft.payload_hash, prev);
        columns.map(Some).map_err(AppendError::V1)
    }

    /// Returns whether an event of a call is the event that is stored with its id (`docs/spec/protocol.md#append-4`).
    ///
    /// The requests are compared by their MACs under the key of the stored event; for an encrypted event that is its data key.
    /// If the secret of a signing key is gone, the stored fields are compared. If the comparison is impossible, for example
    /// because the data key was erased, the requests count as different.
    pub(super) fn same_request(&self, plan: &str, draft: &Draft, stored: &Record) -> bool {
        let header = &stored.header;
        if header.plan != plan {
            return false;
        }
        if header.payload_mode == PayloadMode::Encrypted {
            return same_under_data_key(draft, stored);
        }
        match self.keyring.request_mac(&header.kid, &self.origin, &header.tenant, draft.request.as_bytes()) {
            Some(mac) => mac.as_slice().ct_eq(&stored.request_mac).into(),
            None => {
                header.event_type == draft.event_type
                    && header.data_version == draft.data_version
                    && draft.occurred.is_none_or(|occurred| header.occurred == occurred)
                    && header.source == draft.source
                    && header.actor == draft.actor
                    && header.correlation_id == draft.correlation_id
                    && header.causation_id == draft.causation_id
                    && header.payload_hash == draft.payload_hash
                    && (stored.metadata == draft.metadata
                        || stored.v1.is_some() && stored.metadata == with_v1_mark(&draft.metadata))
            }
        }
    }
}

/// Returns canonical metadata with the mark that the event carries scheme v1 (`docs/spec/integrity.md#v1-mark`). Metadata that
/// are not a canonical object stay as they are: verification reports them.
fn with_v1_mark(metadata: &str) -> String {
    let limits = Limits { bytes: usize::MAX, ..Limits::METADATA };
    let Ok(Value::Object(mut members)) = canonical::read(metadata.as_bytes(), limits) else {
        return metadata.to_owned();
    };
    let own = members.entry("sealbus").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(own) = own {
        own.insert("v1".to_owned(), Value::Bool(true));
    }
    canonical::write(&Value::Object(members))
}

/// A subject has one current data key, so an equal request is under the key of the stored event unless that key was erased.
/// A request under another key is about another subject, or cannot be compared.
fn same_under_data_key(draft: &Draft, stored: &Record) -> bool {
    let (Some(under), Ok(Some(envelope))) = (&draft.encrypted, Envelope::stored(stored)) else { return false };
    under.key_id == envelope.key_id() && bool::from(under.request_mac.as_slice().ct_eq(&stored.request_mac))
}
