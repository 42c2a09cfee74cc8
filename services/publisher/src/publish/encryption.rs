//! Encryption of events: an event whose type has the content policy `encrypted` is encrypted under the key of its data
//! subject, which is created on first use.
//!
//! Keys are looked up for each call and never cached. An erasure therefore only has to delete the rows of the ledger, and
//! the append detects a key that was closed after the lookup.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sealbus_core::envelope::{DataKey, DataSubject};
use sealbus_core::error::ErrorKind;
use sealbus_core::error_chain;
use sealbus_core::names::Tenant;
use sealbus_core::request::{Draft, Prepared, ToEncrypt};
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::data_keys::Current;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::http::Problem;

/// How often the current keys are looked up for one call. A lookup is repeated after a key was created, because another
/// replica may have created the subject's key first, or an erasure may have closed it.
const MAX_LOOKUPS: usize = 8;

/// Data keys by data subject.
type Keys<'a> = HashMap<&'a DataSubject, DataKey>;

/// Encrypts events under the data keys of the ledger.
#[derive(Clone)]
pub(crate) struct Encryption {
    ledger: Ledger,
    keyring: Arc<Keyring>,
}

impl Encryption {
    /// Creates the handle. The keyring wraps and unwraps data keys.
    pub(crate) fn new(ledger: Ledger, keyring: Arc<Keyring>) -> Self {
        Self { ledger, keyring }
    }

    /// Returns the drafts of a tenant's prepared events, encrypted where their content policy demands it.
    ///
    /// A repeated event whose key was erased does not create a new key, which would store the subject's name again for
    /// nothing: it is encrypted under a key that is discarded, and the append finds its id taken. `key_gone` says that the
    /// append of such drafts has failed because a key was gone; then missing keys are created for all events.
    ///
    /// # Errors
    /// `ledger_unavailable`, and `internal` if a key cannot be created or unwrapped.
    pub(crate) async fn drafts(
        &self,
        tenant: &Tenant,
        prepared: &[Prepared],
        key_gone: bool,
    ) -> Result<Vec<Draft>, Problem> {
        let to_encrypt = || prepared.iter().filter_map(to_encrypt);
        let mut keys = Keys::new();
        if !key_gone {
            self.add_discarded_keys(tenant, to_encrypt(), &mut keys).await?;
        }
        self.add_current_keys(tenant, to_encrypt(), &mut keys).await?;
        let origin = &self.ledger.deployment().origin;
        let draft = |prepared: &Prepared| match prepared {
            Prepared::Ready(draft) => Ok(draft.clone()),
            Prepared::ToEncrypt(event) => Ok(event.encrypt(origin, &keys[event.subject()], random_bytes()?)),
        };
        prepared.iter().map(draft).collect()
    }

    /// Adds keys that are not stored, for the subjects that have no current key and of whom an event is stored already.
    async fn add_discarded_keys<'a>(
        &self,
        tenant: &Tenant,
        events: impl Iterator<Item = &'a ToEncrypt>,
        keys: &mut Keys<'a>,
    ) -> Result<(), Problem> {
        let mut ids: BTreeMap<&DataSubject, Vec<Uuid>> = BTreeMap::new();
        for event in events {
            ids.entry(event.subject()).or_default().push(event.event_id());
        }
        let subjects: Vec<DataSubject> = ids.keys().copied().cloned().collect();
        let current = self.ledger.data_keys().current(tenant.as_str(), &subjects).await?;
        let without_key = ids.into_iter().zip(current).filter(|(_, current)| matches!(current, Current::Next(_)));
        let without_key: Vec<(&DataSubject, Vec<Uuid>)> = without_key.map(|(subject, _)| subject).collect();
        if without_key.is_empty() {
            return Ok(());
        }
        let candidates: Vec<Uuid> = without_key.iter().flat_map(|(_, ids)| ids).copied().collect();
        let stored = self.ledger.history().stored_ids(tenant.as_str(), &candidates).await?;
        let stored: HashSet<Uuid> = stored.into_iter().collect();
        for (subject, ids) in without_key {
            if ids.iter().any(|id| stored.contains(id)) {
                keys.insert(subject, new_data_key()?);
            }
        }
        Ok(())
    }

    /// Adds the current keys of the subjects that have no key yet, and creates those that the ledger does not have.
    async fn add_current_keys<'a>(
        &self,
        tenant: &Tenant,
        events: impl Iterator<Item = &'a ToEncrypt>,
        keys: &mut Keys<'a>,
    ) -> Result<(), Problem> {
        let mut missing: Vec<&DataSubject> = events.map(ToEncrypt::subject).collect();
        missing.sort_unstable();
        missing.dedup();
        for _ in 0..MAX_LOOKUPS {
            missing.retain(|subject| !keys.contains_key(subject));
            if missing.is_empty() {
                return Ok(());
            }
            let subjects: Vec<DataSubject> = missing.iter().map(|subject| (*subject).clone()).collect();
            let current = self.ledger.data_keys().current(tenant.as_str(), &subjects).await?;
            let mut new = Vec::new();
            for (subject, current) in missing.iter().zip(current) {
                match current {
                    Current::Key(row) => {
                        let key = self.keyring.unwrap_data_key(&row).map_err(|error| {
                            tracing::error!(error = %error_chain(&error), "data key cannot be unwrapped");
                            internal("the data subject's key cannot be unwrapped; see the publisher's log")
                        })?;
                        keys.insert(subject, key);
                    }
                    Current::Next(epoch) => {
                        let key = new_data_key()?;
                        let row = self.keyring.wrap_data_key(&key, tenant.as_str(), subject, epoch, &random_bytes()?);
                        new.push(row.ok_or_else(|| {
                            tracing::error!("data key cannot be created: the keyring has no active kek- key");
                            internal("the data subject's key cannot be created; see the publisher's log")
                        })?);
                    }
                }
            }
            if !new.is_empty() {
                self.ledger.data_keys().add(&new).await?;
            }
        }
        Err(Problem::new(ErrorKind::LedgerUnavailable, "the data subject's key kept changing; retry"))
    }
}

fn to_encrypt(prepared: &Prepared) -> Option<&ToEncrypt> {
    match prepared {
        Prepared::Ready(_) => None,
        Prepared::ToEncrypt(event) => Some(event),
    }
}

/// Returns a new data key. Its id is random and reveals nothing, not even the time of its creation.
fn new_data_key() -> Result<DataKey, Problem> {
    Ok(DataKey::new(Uuid::new_v4(), &Zeroizing::new(random_bytes()?)))
}

/// Returns random bytes of the operating system, for keys and nonces.
fn random_bytes<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(error = %error_chain(&error), "the operating system's random generator failed");
        internal("the operating system's random generator failed")
    })?;
    Ok(bytes)
}

fn internal(detail: &str) -> Problem {
    Problem::new(ErrorKind::Internal, detail)
}
