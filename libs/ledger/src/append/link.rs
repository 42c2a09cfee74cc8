//! An event's place in its chain: the header that binds it to the event before, its hash and its seal. Pure but for the key.

use std::collections::HashSet;

use sealbus_core::envelope::Envelope;
use sealbus_core::event::{Header, PayloadMode, Record, V1};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{KeyId, Keyring, Signer, Suite, V1Signer};
use sealbus_core::timestamp::Timestamp;
use subtle::ConstantTimeEq;

use super::AppendSettings;
use super::call::{AppendError, Draft};
use super::locks::{Head, PlanState};
use crate::{Deployment, LedgerError};

/// Everything but the plan that a new event's header and seal depend on.
pub(super) struct Linker {
    origin: String,
    pub partitions: u32,
    signer: Signer,
    v1_signer: Option<V1Signer>,
    keyring: Keyring,
    v1_tenants: HashSet<String>,
}

impl Linker {
    pub(super) fn new(
        deployment: &Deployment,
        keyring: &Keyring,
        settings: &AppendSettings,
    ) -> Result<Self, LedgerError> {
        let signer = keyring.signer().map_err(|error| LedgerError::Keyring(error.to_string()))?;
        let v1_signer = keyring.v1_signer();
        if !settings.v1_tenants.is_empty() && v1_signer.is_none() {
            return Err(LedgerError::Keyring("SEALBUS_V1_TENANTS names tenants and the keyring has no v1- key".into()));
        }
        Ok(Self {
            origin: deployment.origin.clone(),
            partitions: deployment.partitions,
            signer,
            v1_signer,
            keyring: keyring.clone(),
            v1_tenants: settings.v1_tenants.clone(),
        })
    }

    /// The key that seals what is appended.
    pub(super) fn kid(&self) -> &KeyId {
        self.signer.kid()
    }

    /// The event's record, next after the plan's head; `now` is the database's clock.
    pub(super) fn link(&self, plan: &PlanState, draft: &Draft, now: Timestamp) -> Result<Record, AppendError> {
        let head = plan.head.as_ref();
        if self.signer.suite() == Suite::Hmac && head.is_some_and(|head| head.kid.suite() == Some(Suite::Ed25519)) {
            return Err(AppendError::SuiteDowngrade { kid: self.signer.kid().to_string() });
        }
        // Never before the event it follows, even where the clock was set back.
        let recorded = head.map_or(now, |head| head.recorded.max(now));
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
            metadata_hash: Hash::of(draft.metadata.as_bytes()),
            prev: head.map_or_else(|| Header::genesis(&self.origin, &plan.tenant, &plan.plan), |head| head.hash),
            kid: self.signer.kid().clone(),
        };
        // Whoever called: what the sealer would refuse must never be committed, since nothing could take it out again.
        header.validate().map_err(|error| AppendError::Invalid { detail: error.to_string() })?;
        let event_hash = header.hash();
        let seal = self.signer.seal(&header, &event_hash);
        Ok(Record {
            v1: self.v1(plan, draft)?,
            request_mac: match &draft.encrypted {
                Some(under) => under.request_mac.to_vec(),
                None => self.signer.request_mac(&self.origin, &plan.tenant, draft.request.as_bytes()).to_vec(),
            },
            header,
            event_hash,
            mac: seal.mac,
            sig: seal.sig,
            payload: draft.payload.clone(),
            metadata: draft.metadata.clone(),
            log_index: None,
        })
    }

    /// Scheme v1 beside v2: for a plan that begins while its tenant is set to it, and then for as long as the plan lives.
    fn v1(&self, plan: &PlanState, draft: &Draft) -> Result<Option<V1>, AppendError> {
        let prev = match &plan.head {
            None if self.v1_tenants.contains(&plan.tenant) => None,
            Some(Head { v1: Some(prev), .. }) => Some(prev),
            _ => return Ok(None),
        };
        let unavailable = |detail: String| AppendError::Unavailable { detail };
        let signer = self.v1_signer.as_ref().ok_or_else(|| {
            unavailable(format!("plan {} carries scheme v1 and the keyring has no v1- key", plan.plan))
        })?;
        let columns = signer.columns(&plan.plan, &draft.event_type, &draft.payload_hash, prev);
        columns.map(Some).map_err(|error| unavailable(error.to_string()))
    }

    /// Whether a call's event is the one that is stored under its id.
    ///
    /// The caller's request is compared by its MAC under the stored row's key; of an encrypted row that is its data key. Where
    /// a signing key's secret is gone the stored fields are compared; what differs or cannot be decided is another request, as
    /// is all under a data key that was erased.
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
                    && stored.metadata == draft.metadata
            }
        }
    }
}

/// One subject has one open data key, so an equal request comes under the key of the stored row, unless that was erased. Under
/// another key it is about another subject, or nobody can tell.
fn same_under_data_key(draft: &Draft, stored: &Record) -> bool {
    let (Some(under), Ok(Some(envelope))) = (&draft.encrypted, Envelope::stored(stored)) else { return false };
    under.key_id == envelope.key_id() && bool::from(under.request_mac.as_slice().ct_eq(&stored.request_mac))
}
