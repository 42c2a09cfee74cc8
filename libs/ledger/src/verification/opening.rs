//! Payloads that are opened while they are verified, by an operator whose keyring holds the `kek-` keys
//! (`docs/spec/integrity.md#verify-16`).

use std::collections::HashMap;

use sealbus_core::envelope::{DataKey, Envelope, Unopened, UnwrapError};
use sealbus_core::event::Record;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::Trust;
use uuid::Uuid;

use crate::{Ledger, LedgerError};

/// The highest number of data keys in memory. The events of a subject are often close together.
const MAX_CACHED: usize = 1_000;

/// The data keys that a run of plans has looked up.
pub(super) struct Opening<'a> {
    ledger: &'a Ledger,
    keyring: &'a Keyring,
    keys: HashMap<(String, Uuid), LookedUp>,
}

/// The result of looking up a data key.
enum LookedUp {
    /// The key.
    Found(DataKey),
    /// There is no valid row, or it does not unwrap.
    Lost,
    /// The keyring lacks the key under which it is wrapped, so nothing can be checked.
    NoKek,
}

impl<'a> Opening<'a> {
    pub(super) fn new(ledger: &'a Ledger, keyring: &'a Keyring) -> Self {
        Self { ledger, keyring, keys: HashMap::new() }
    }

    /// Returns why the payload of a record does not open; `None` if it does, or if it cannot be checked.
    pub(super) async fn unopened(&mut self, record: &Record, trust: &Trust) -> Result<Option<Unopened>, LedgerError> {
        let envelope = match Envelope::stored(record) {
            Ok(None) => return Ok(None),
            Ok(Some(envelope)) => envelope,
            Err(error) => return Ok(Some(error.into())),
        };
        let erased = trust.has_erased(record);
        let key = match self.look_up(&record.header.tenant, envelope.key_id()).await? {
            LookedUp::Found(key) => Some(key),
            LookedUp::Lost => None,
            LookedUp::NoKek => return Ok(None),
        };
        Ok(envelope.open_stored(&record.header, key, erased).err())
    }

    async fn look_up(&mut self, tenant: &str, key_id: Uuid) -> Result<&LookedUp, LedgerError> {
        let name = (tenant.to_owned(), key_id);
        if !self.keys.contains_key(&name) {
            if self.keys.len() >= MAX_CACHED {
                self.keys.clear();
            }
            let row = self.ledger.data_keys().wrapped(std::slice::from_ref(&name)).await?.pop();
            let looked_up = match row.map(|row| self.keyring.unwrap_data_key(&row)) {
                Some(Ok(key)) => LookedUp::Found(key),
                Some(Err(UnwrapError::NoKek { .. })) => LookedUp::NoKek,
                Some(Err(UnwrapError::Changed { .. })) | None => LookedUp::Lost,
            };
            self.keys.insert(name.clone(), looked_up);
        }
        Ok(self.keys.get(&name).unwrap_or(&LookedUp::Lost))
    }
}
