//! Encrypting: each event of a type that the catalog wants encrypted goes under its data subject's key, which is made where
//! there is none.
//!
//! Keys are looked up for each call and kept nowhere: so an erasure has nothing to chase but the ledger's own rows, and the
//! append finds a key that was closed between here and there.

use std::collections::{HashMap, HashSet};

use sealbus_core::envelope::{DataKey, DataSubject};
use sealbus_core::error::ErrorKind;
use sealbus_core::names::Tenant;
use sealbus_core::request::{Draft, Prepared, ToEncrypt};
use sealbus_ledger::data_keys::Current;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::app::App;
use crate::clock::{self, random};
use crate::http::problem::Problem;

/// How often current keys are looked up: another replica may make a subject's key first, or an erasure close it.
const LOOKS: usize = 8;

/// Keys by subject.
type Keys<'a> = HashMap<&'a DataSubject, DataKey>;

impl App {
    /// The drafts of accepted events of a tenant, encrypted where they are to be.
    ///
    /// A repeat whose key was erased makes no new key, which would keep the subject's name again for nothing: it is encrypted
    /// under one that is thrown away, and the append finds its id taken. `again` says that the append found a key gone.
    pub async fn drafts(&self, tenant: &Tenant, prepared: &[Prepared], again: bool) -> Result<Vec<Draft>, Problem> {
        let waiting = || prepared.iter().filter_map(to_encrypt);
        let mut keys = Keys::new();
        if !again {
            self.throw_away_keys(tenant, waiting(), &mut keys).await?;
        }
        self.current_keys(tenant, waiting(), &mut keys).await?;
        let origin = &self.ledger.deployment().origin;
        let draft = |prepared: &Prepared| match prepared {
            Prepared::Ready(draft) => Ok(draft.clone()),
            Prepared::ToEncrypt(waiting) => Ok(waiting.encrypt(origin, &keys[waiting.subject()], random()?)),
        };
        prepared.iter().map(draft).collect()
    }

    /// Gives subjects that have no key, and events that are stored already, a key that nothing will be read by.
    async fn throw_away_keys<'a>(
        &self,
        tenant: &Tenant,
        waiting: impl Iterator<Item = &'a ToEncrypt>,
        keys: &mut Keys<'a>,
    ) -> Result<(), Problem> {
        let mut ids: HashMap<&DataSubject, Vec<Uuid>> = HashMap::new();
        for event in waiting {
            ids.entry(event.subject()).or_default().push(event.event_id());
        }
        let subjects: Vec<DataSubject> = ids.keys().map(|subject| (*subject).clone()).collect();
        let current = self.ledger.data_keys().current(tenant.as_str(), &subjects).await?;
        let keyless = subjects.iter().zip(current).filter(|(_, current)| matches!(current, Current::Next(_)));
        let keyless: HashSet<&DataSubject> = keyless.map(|(subject, _)| subject).collect();
        ids.retain(|subject, _| keyless.contains(*subject));
        if ids.is_empty() {
            return Ok(());
        }
        let asked: Vec<Uuid> = ids.values().flatten().copied().collect();
        let stored: HashSet<Uuid> =
            self.ledger.history().stored_ids(tenant.as_str(), &asked).await?.into_iter().collect();
        for (subject, ids) in ids {
            if ids.iter().any(|id| stored.contains(id)) {
                keys.insert(subject, fresh_key()?);
            }
        }
        Ok(())
    }

    /// The current keys of the subjects that have none here yet; made in the ledger where there are none.
    async fn current_keys<'a>(
        &self,
        tenant: &Tenant,
        waiting: impl Iterator<Item = &'a ToEncrypt>,
        keys: &mut Keys<'a>,
    ) -> Result<(), Problem> {
        let mut wanted: Vec<&DataSubject> = waiting.map(ToEncrypt::subject).collect();
        wanted.sort_unstable();
        wanted.dedup();
        for _ in 0..LOOKS {
            wanted.retain(|subject| !keys.contains_key(subject));
            if wanted.is_empty() {
                return Ok(());
            }
            let subjects: Vec<DataSubject> = wanted.iter().map(|subject| (*subject).clone()).collect();
            let current = self.ledger.data_keys().current(tenant.as_str(), &subjects).await?;
            let mut new = Vec::new();
            for (subject, current) in wanted.iter().zip(current) {
                match current {
                    Current::Key(row) => {
                        let key = self.keyring.unwrap_data_key(&row).map_err(|error| {
                            tracing::error!(error = error.to_string(), "a data key cannot be used");
                            Problem::new(
                                ErrorKind::Internal,
                                "the data subject's key cannot be used; the log says more",
                            )
                        })?;
                        keys.insert(subject, key);
                    }
                    Current::Next(epoch) => {
                        let key = fresh_key()?;
                        let row = self.keyring.wrap_data_key(&key, tenant.as_str(), subject, epoch, &random()?);
                        new.push(row.ok_or_else(|| {
                            tracing::error!("the keyring has no active kek- key, and no data key can be made");
                            Problem::new(ErrorKind::Internal, "no data key can be made; the log says why")
                        })?);
                    }
                }
            }
            if !new.is_empty() {
                self.ledger.data_keys().add(&new).await?;
            }
        }
        Err(Problem::new(ErrorKind::LedgerUnavailable, "the data subject's key changed again and again; ask again"))
    }
}

fn to_encrypt(prepared: &Prepared) -> Option<&ToEncrypt> {
    match prepared {
        Prepared::Ready(_) => None,
        Prepared::ToEncrypt(waiting) => Some(waiting),
    }
}

fn fresh_key() -> Result<DataKey, Problem> {
    Ok(DataKey::new(clock::random_id(), &Zeroizing::new(random()?)))
}
