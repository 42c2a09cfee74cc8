//! Keyrings: all keys that a process trusts.

use std::fmt;
use std::sync::Arc;

use crate::event::{Header, V1};
use crate::hash::Hash;
use crate::seal::key::Key;
use crate::seal::suite::{self, check_shape};
use crate::seal::{KeyId, KeyKind, KeyringError, PublicKey, Signer, Status, V1Signer, Window};
use crate::v1;
use crate::verdict::Verdict;

/// The keys of a process, for signing and for checking. Cloning a keyring does not copy secrets.
///
/// A key is trusted only if it is in the keyring: a row, a message or a bundle can name any key.
#[derive(Clone)]
pub struct Keyring {
    pub(super) keys: Arc<[Key]>,
}

/// The properties of a key in a keyring, without its secret.
#[derive(Clone, Copy, Debug)]
pub struct HeldKey<'k> {
    /// Id of the key.
    pub id: &'k KeyId,
    /// Use of the key.
    pub kind: KeyKind,
    /// Status of the key.
    pub status: Status,
    /// Log indexes for which the keyring lets the key count.
    pub pinned: Window,
    /// Public key, if the kind of the key has one.
    pub public: Option<&'k PublicKey>,
    /// Whether the keyring has the secret.
    pub has_secret: bool,
}

/// The result of checking a seal that is not wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// The MAC or signature is valid.
    Valid,
    /// The keyring does not have the secret of the MAC. The seal counts as unchecked.
    NoSecret,
}

impl Keyring {
    /// Returns the signer of the active `hmac-` or `ed25519-` key. Fails if the keyring does not have exactly one such key with
    /// its secret.
    pub fn signer(&self) -> Result<Signer, KeyringError> {
        let mut active =
            self.keys.iter().enumerate().filter(|(_, key)| {
                key.status == Status::Active && matches!(key.kind, KeyKind::Hmac | KeyKind::Ed25519)
            });
        match (active.next(), active.next()) {
            (None, _) => Err(KeyringError::NoActiveKey),
            (Some(_), Some(_)) => Err(KeyringError::ManyActiveKeys),
            (Some((index, key)), None) => {
                Signer::new(self.clone(), index).ok_or_else(|| KeyringError::NoSecret { id: key.id.clone() })
            }
        }
    }

    /// Returns the signer of a key, active or not. A key that will become active makes its proof with it. Fails if the key does
    /// not seal events, or the keyring does not have its secret.
    pub fn signer_of(&self, kid: &KeyId) -> Result<Signer, KeyringError> {
        let index = self.keys.iter().position(|key| key.id == *kid);
        let signer = index.and_then(|index| Signer::new(self.clone(), index));
        signer.ok_or_else(|| KeyringError::NoSecret { id: kid.clone() })
    }

    /// Returns all keys in the order of the files.
    pub fn keys(&self) -> impl Iterator<Item = HeldKey<'_>> {
        self.keys.iter().map(Key::held)
    }

    /// Returns the signer of the active `v1-` key for the columns of scheme v1, or `None` if no `v1-` key is active.
    pub fn v1_signer(&self) -> Option<V1Signer> {
        let active = |key: &Key| key.kind == KeyKind::V1 && key.status == Status::Active;
        self.keys.iter().position(active).map(|index| V1Signer::new(self.clone(), index))
    }

    /// Checks the seal of an event whose header has the hash `event_hash`: first the suite of the key (SUITE), then whether the
    /// key is trusted (`UNTRUSTED_KEY`), then the bytes (MAC, SIGNATURE).
    ///
    /// The caller must have computed or compared `event_hash` itself. The window of the key is not checked here, since that
    /// requires the log.
    pub fn check(&self, header: &Header, event_hash: &Hash, mac: &[u8], sig: &[u8]) -> Result<Checked, Verdict> {
        check_shape(&header.kid, mac, sig)?;
        self.key(&header.kid).ok_or(Verdict::UntrustedKey)?.check(header, event_hash, mac, sig)
    }

    /// Returns the window that the keyring pins for a key, or `None` if the keyring does not have the key.
    pub fn pinned(&self, kid: &KeyId) -> Option<Window> {
        self.key(kid).map(|key| key.window)
    }

    /// Returns the MAC of a publish request with the key that sealed a row, for comparison with the MAC of the row. Returns
    /// `None` if the keyring does not have the secret of the key.
    pub fn request_mac(&self, kid: &KeyId, origin: &str, tenant: &str, request: &[u8]) -> Option<[u8; 32]> {
        self.key(kid)?.secret().map(|secret| suite::request_mac(secret, origin, tenant, request))
    }

    /// Returns whether one of the `v1-` keys made the signature of these columns, or `None` if the keyring has no `v1-` key. All
    /// keys are tried, because the columns do not name a key.
    pub fn v1_is_signed(&self, plan: &str, event_type: &str, columns: &V1) -> Option<bool> {
        let mut secrets = self.keys.iter().filter(|key| key.kind == KeyKind::V1).filter_map(Key::secret).peekable();
        secrets.peek()?;
        Some(secrets.any(|secret| v1::is_signed(secret, plan, event_type, columns)))
    }

    /// Returns whether a `kek-` key is active. New data keys require one.
    pub fn wraps_data_keys(&self) -> bool {
        self.active_kek().is_some()
    }

    /// Returns the active `kek-` key, under which data keys are wrapped.
    pub(crate) fn active_kek(&self) -> Option<(&KeyId, &[u8; 32])> {
        let active = self.keys.iter().find(|key| key.kind == KeyKind::Kek && key.status == Status::Active)?;
        Some((&active.id, kek_secret(active)))
    }

    /// Returns the secret of a `kek-` key, active or not.
    pub(crate) fn kek(&self, id: &KeyId) -> Option<&[u8; 32]> {
        self.key(id).filter(|key| key.kind == KeyKind::Kek).map(kek_secret)
    }

    pub(super) fn key(&self, kid: &KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == *kid)
    }
}

fn kek_secret(key: &Key) -> &[u8; 32] {
    let secret = key.secret().expect("a keyring with a kek key without secret is refused");
    secret.try_into().expect("a keyring with a kek key that does not have 32 bytes is refused")
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}
