//! Payloads that are opened while they are verified: by an operator whose keyring holds the `kek-` keys (check 16).

use std::collections::HashMap;

use sealbus_core::envelope::{DataKey, Envelope, Unopened, UnwrapError};
use sealbus_core::event::Record;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::Trust;
use uuid::Uuid;

use crate::{Ledger, LedgerError};

/// Data keys that are kept at once: a subject's events often come together.
const KEPT: usize = 1_000;

/// What a portion of plans has looked up of data keys.
pub(super) struct Opening<'a> {
    ledger: &'a Ledger,
    keyring: &'a Keyring,
    keys: HashMap<(String, Uuid), Looked>,
}

/// What became of looking a data key up.
enum Looked {
    /// It is here.
    Here(DataKey),
    /// Its row is gone, or does not unwrap.
    Lost,
    /// The keyring does not hold the key that it is wrapped under: nothing can be said.
    Closed,
}

impl<'a> Opening<'a> {
    pub(super) fn new(ledger: &'a Ledger, keyring: &'a Keyring) -> Self {
        Self { ledger, keyring, keys: HashMap::new() }
    }

    /// Why the payload of a record does not open; none where it does, or is not to be opened.
    pub(super) async fn unopened(&mut self, record: &Record, trust: &Trust) -> Result<Option<Unopened>, LedgerError> {
        let envelope = match Envelope::stored(record) {
            Ok(None) => return Ok(None),
            Ok(Some(envelope)) => envelope,
            Err(error) => return Ok(Some(error.into())),
        };
        let erased = trust.has_erased(record);
        let key = match self.look(&record.header.tenant, envelope.key_id()).await? {
            Looked::Here(key) => Some(key),
            Looked::Lost => None,
            Looked::Closed => return Ok(None),
        };
        Ok(envelope.open_stored(&record.header, key, erased).err())
    }

    async fn look(&mut self, tenant: &str, key_id: Uuid) -> Result<&Looked, LedgerError> {
        let name = (tenant.to_owned(), key_id);
        if !self.keys.contains_key(&name) {
            if self.keys.len() >= KEPT {
                self.keys.clear();
            }
            let row = self.ledger.data_keys().wrapped(std::slice::from_ref(&name)).await?.pop();
            let looked = match row.map(|row| self.keyring.unwrap_data_key(&row)) {
                Some(Ok(key)) => Looked::Here(key),
                Some(Err(UnwrapError::NoKek { .. })) => Looked::Closed,
                Some(Err(UnwrapError::Changed { .. })) | None => Looked::Lost,
            };
            self.keys.insert(name.clone(), looked);
        }
        Ok(self.keys.get(&name).unwrap_or(&Looked::Lost))
    }
}
