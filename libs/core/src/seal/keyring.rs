//! All keys that a process trusts.

use std::fmt;
use std::sync::Arc;

use crate::event::{Header, V1};
use crate::hash::Hash;
use crate::seal::key::Key;
use crate::seal::suite::{self, check_shape};
use crate::seal::{KeyId, KeyKind, KeyringError, PublicKey, Signer, Status, V1Signer, Window};
use crate::v1;
use crate::verdict::Verdict;

/// The keys of a keyring file: those that sign, and those that only check. Cloning it copies no secret.
///
/// Nothing but the keyring makes a key trusted: a row, a message or a bundle can name any.
#[derive(Clone)]
pub struct Keyring {
    pub(super) keys: Arc<[Key]>,
}

/// What a keyring says of a key; never its secret.
#[derive(Clone, Copy, Debug)]
pub struct HeldKey<'k> {
    /// What it is called.
    pub id: &'k KeyId,
    /// What it is for.
    pub kind: KeyKind,
    /// What it is still used for.
    pub status: Status,
    /// For which log indexes the keyring's owner lets it count.
    pub pinned: Window,
    /// Its public half, where its kind has one.
    pub public: Option<&'k PublicKey>,
    /// Whether its secret is here.
    pub has_secret: bool,
}

/// What checking a seal came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// The MAC or signature is right.
    Valid,
    /// A MAC whose secret this keyring lacks: passed over, and to be counted as unchecked.
    NoSecret,
}

impl Keyring {
    /// The one active `hmac-` or `ed25519-` key, to seal with. Refused where there is none, more than one, or its secret is
    /// not here.
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

    /// The signer of this key, active or not: a key that is still to become active proves by it that it is held. Refused where
    /// it does not seal events, or its secret is not here.
    pub fn signer_of(&self, kid: &KeyId) -> Result<Signer, KeyringError> {
        let index = self.keys.iter().position(|key| key.id == *kid);
        let signer = index.and_then(|index| Signer::new(self.clone(), index));
        signer.ok_or_else(|| KeyringError::NoSecret { id: kid.clone() })
    }

    /// All keys, in the files' order.
    pub fn keys(&self) -> impl Iterator<Item = HeldKey<'_>> {
        self.keys.iter().map(Key::held)
    }

    /// The active `v1-` key, to write the older contract's columns with; `None` where there is none.
    pub fn v1_signer(&self) -> Option<V1Signer> {
        let active = |key: &Key| key.kind == KeyKind::V1 && key.status == Status::Active;
        self.keys.iter().position(active).map(|index| V1Signer::new(self.clone(), index))
    }

    /// Checks the seal of an event whose header hashes to `event_hash`: first that it is of the key's suite (SUITE), then
    /// that the key is trusted (`UNTRUSTED_KEY`), then the bytes (MAC, SIGNATURE).
    ///
    /// The caller has made or compared `event_hash` itself. The key's window is not looked at here: it needs the log.
    pub fn check(&self, header: &Header, event_hash: &Hash, mac: &[u8], sig: &[u8]) -> Result<Checked, Verdict> {
        check_shape(&header.kid, mac, sig)?;
        self.key(&header.kid).ok_or(Verdict::UntrustedKey)?.check(header, event_hash, mac, sig)
    }

    /// The window that the keyring's owner pins for a key; `None` when the keyring does not hold the key.
    pub fn pinned(&self, kid: &KeyId) -> Option<Window> {
        self.key(kid).map(|key| key.window)
    }

    /// The MAC of a publish request under the key that sealed a row, to compare with the row's; `None` where that key's
    /// secret is not here.
    pub fn request_mac(&self, kid: &KeyId, origin: &str, tenant: &str, request: &[u8]) -> Option<[u8; 32]> {
        self.key(kid)?.secret().map(|secret| suite::request_mac(secret, origin, tenant, request))
    }

    /// Whether one of the `v1-` keys made these columns' signature; `None` where the keyring holds no such key. Rows name no
    /// key, so each is tried.
    pub fn v1_is_signed(&self, plan: &str, event_type: &str, columns: &V1) -> Option<bool> {
        let mut secrets = self.keys.iter().filter(|key| key.kind == KeyKind::V1).filter_map(Key::secret).peekable();
        secrets.peek()?;
        Some(secrets.any(|secret| v1::is_signed(secret, plan, event_type, columns)))
    }

    /// Whether there is an active `kek-` key: without one no data key can be made.
    pub fn wraps_data_keys(&self) -> bool {
        self.active_kek().is_some()
    }

    /// The active `kek-` key, to wrap data keys under.
    pub(crate) fn active_kek(&self) -> Option<(&KeyId, &[u8; 32])> {
        let active = self.keys.iter().find(|key| key.kind == KeyKind::Kek && key.status == Status::Active)?;
        Some((&active.id, kek_secret(active)))
    }

    /// The secret of this `kek-` key, active or not.
    pub(crate) fn kek(&self, id: &KeyId) -> Option<&[u8; 32]> {
        self.key(id).filter(|key| key.kind == KeyKind::Kek).map(kek_secret)
    }

    pub(super) fn key(&self, kid: &KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == *kid)
    }
}

fn kek_secret(key: &Key) -> &[u8; 32] {
    let secret = key.secret().expect("a kek key without a secret was refused");
    secret.try_into().expect("a kek key of another length than 32 bytes was refused")
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}
