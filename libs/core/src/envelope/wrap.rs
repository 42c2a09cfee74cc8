//! Data keys as they are stored, wrapped under a `kek-` key of the keyring.

use std::fmt;
use std::num::NonZeroU32;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::envelope::{DataKey, DataSubject, Nonce, aead};
use crate::seal::{KeyId, Keyring};
use crate::wire::lp;

const LABEL: &[u8] = b"sealbus/wrap/v2\n";

/// A row of the table `data_keys`: a wrapped data key and its data subject. Erasure destroys `wrapped` and `subject`.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Tenant of the data subject.
    pub tenant: String,
    /// Data subject.
    pub subject: DataSubject,
    /// Number of the subject's key, from 1 (`docs/spec/integrity.md#erasure-epoch`).
    pub epoch: NonZeroU32,
    /// Id of the data key.
    pub key_id: Uuid,
    /// Id of the key under which it is wrapped.
    pub kek: KeyId,
    /// Nonce, ciphertext and tag: 72 bytes.
    pub wrapped: Vec<u8>,
}

/// The reason for which a data key cannot be unwrapped, with the ids of the `kek-` key that its row names and of the data key.
/// For a verifier the data key is lost (`KEY_LOST`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// The keyring does not have the key under which the data key is wrapped.
    #[error("the keyring does not have key {0}, under which data key {1} is wrapped")]
    NoKek(KeyId, Uuid),
    /// The row was changed, or was wrapped under another key than the one it names.
    #[error("data key {1} cannot be unwrapped: its row was changed, or it was wrapped under another key than {0}")]
    Changed(KeyId, Uuid),
}

impl Keyring {
    /// Wraps a data key of a subject under the active `kek-` key. Returns `None` if the keyring has no active `kek-` key.
    pub fn wrap_data_key(
        &self,
        key: &DataKey,
        tenant: &str,
        subject: &DataSubject,
        epoch: NonZeroU32,
        nonce: &Nonce,
    ) -> Option<WrappedKey> {
        let (kek, secret) = self.active_kek()?;
        let mut row = WrappedKey {
            tenant: tenant.to_owned(),
            subject: subject.clone(),
            epoch,
            key_id: key.key_id(),
            kek: kek.clone(),
            wrapped: nonce.to_vec(),
        };
        row.wrapped.extend(aead::encrypt(secret, nonce, key.secret(), &row.associated_data()));
        Some(row)
    }

    /// Unwraps the data key of a row with any `kek-` key of the keyring, active or not.
    pub fn unwrap_data_key(&self, row: &WrappedKey) -> Result<DataKey, UnwrapError> {
        let Some(secret) = self.kek(&row.kek) else { return Err(UnwrapError::NoKek(row.kek.clone(), row.key_id)) };
        let unwrapped = row.wrapped.split_first_chunk().and_then(|(nonce, ciphertext)| {
            let bytes = aead::decrypt(secret, nonce, ciphertext, &row.associated_data())?;
            bytes.as_slice().try_into().ok().map(|bytes: &[u8; 32]| Zeroizing::new(*bytes))
        });
        let unwrapped = unwrapped.ok_or_else(|| UnwrapError::Changed(row.kek.clone(), row.key_id))?;
        Ok(DataKey::new(row.key_id, &unwrapped))
    }
}

impl WrappedKey {
    fn associated_data(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        for text in [self.kek.as_str(), &self.tenant, self.subject.as_str()] {
            lp(&mut bytes, text.as_bytes());
        }
        bytes.extend_from_slice(&self.epoch.get().to_be_bytes());
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} of tenant {}, under {})", self.key_id, self.tenant, self.kek)
    }
}
