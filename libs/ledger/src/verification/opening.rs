//! Opens encrypted payloads during a verification, to check that they can be decrypted (`docs/spec/integrity.md#verify-16`).
//! This is possible only if the verifier's keyring holds the `kek-` keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sealbus_core::envelope::{DataKey, Envelope, Unopened, UnwrapError};
use sealbus_core::event::Record;
use sealbus_core::seal::Keyring;
use sealbus_core::verify::Trust;
use uuid::Uuid;

use crate::{Ledger, LedgerError};

/// The maximum number of data keys in memory. A full cache is emptied, which costs little because the events of a data
/// subject are often close together.
const MAX_CACHED: usize = 1_000;

/// A cache of the data keys that were looked up while the rows of some plans are checked.
pub(super) struct Opening<'a> {
    ledger: &'a Ledger,
    keyring: &'a Keyring,
    keys: HashMap<(String, Uuid), LookedUp>,
}

/// The result of looking up a data key.
enum LookedUp {
    /// The unwrapped data key.
    Found(DataKey),
    /// The key has no valid row, or the row cannot be unwrapped.
    Lost,
    /// The keyring lacks the `kek-` key that wraps the data key, so the payload cannot be checked.
    NoKek,
}

impl<'a> Opening<'a> {
    pub(super) fn new(ledger: &'a Ledger, keyring: &'a Keyring) -> Self {
        Self { ledger, keyring, keys: HashMap::new() }
    }

    /// Returns the reason why the payload of a record cannot be opened. Returns `None` if it was opened, is not encrypted,
    /// or cannot be checked.
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
        if self.keys.len() >= MAX_CACHED && !self.keys.contains_key(&name) {
            self.keys.clear();
        }
        match self.keys.entry(name) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let row = self.ledger.data_keys().wrapped(std::slice::from_ref(unknown.key())).await?.pop();
                Ok(unknown.insert(match row.map(|row| self.keyring.unwrap_data_key(&row)) {
                    Some(Ok(key)) => LookedUp::Found(key),
                    Some(Err(UnwrapError::NoKek { .. })) => LookedUp::NoKek,
                    Some(Err(UnwrapError::Changed { .. })) | None => LookedUp::Lost,
                }))
            }
        }
    }
}
