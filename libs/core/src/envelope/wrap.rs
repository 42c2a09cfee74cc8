//! A data key as it is stored: wrapped under a `kek-` key of the keyring.

use std::fmt;
use std::num::NonZeroU32;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::envelope::{DataKey, DataSubject, Nonce, aead};
use crate::seal::{KeyId, Keyring};
use crate::wire::lp;

const LABEL: &[u8] = b"sealbus/wrap/v2\n";

/// A row of `data_keys`: a data key, wrapped, and whose it is. Erasing destroys `wrapped` and `subject`.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Whose data subject.
    pub tenant: String,
    /// Whose data.
    pub subject: DataSubject,
    /// Which of the subject's keys, from 1: a subject that comes back after its erasure gets the next.
    pub epoch: NonZeroU32,
    /// The data key's name.
    pub key_id: Uuid,
    /// The key that it is wrapped under.
    pub kek: KeyId,
    /// Nonce, ciphertext and tag: 72 bytes.
    pub wrapped: Vec<u8>,
}

/// Why a wrapped key gives no data key. To a verifier, the data key is lost (`KEY_LOST`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// The keyring does not hold the key that it is wrapped under.
    #[error("the keyring has no kek- key {kek}, under which data key {key_id} is wrapped")]
    NoKek {
        /// The key that is missing.
        kek: KeyId,
        /// The data key.
        key_id: Uuid,
    },
    /// The row was changed, or is of another key of that id.
    #[error("data key {key_id} does not unwrap: its row was changed, or was wrapped under another key than {kek}")]
    Changed {
        /// The key that it says it is wrapped under.
        kek: KeyId,
        /// The data key.
        key_id: Uuid,
    },
}

impl Keyring {
    /// Wraps a data key of this subject under the active `kek-` key; `None` where the keyring has none.
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

    /// The data key of this row. It may be wrapped under any `kek-` key that the keyring holds, one no longer active too.
    pub fn unwrap_data_key(&self, row: &WrappedKey) -> Result<DataKey, UnwrapError> {
        let (kek, key_id) = (row.kek.clone(), row.key_id);
        let Some(secret) = self.kek(&row.kek) else { return Err(UnwrapError::NoKek { kek, key_id }) };
        let unwrapped = row.wrapped.split_first_chunk().and_then(|(nonce, ciphertext)| {
            let bytes = aead::decrypt(secret, nonce, ciphertext, &row.associated_data())?;
            bytes.as_slice().try_into().ok().map(|bytes: &[u8; 32]| Zeroizing::new(*bytes))
        });
        let unwrapped = unwrapped.ok_or(UnwrapError::Changed { kek, key_id })?;
        Ok(DataKey::new(key_id, &unwrapped))
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
