//! Keyrings: all keys that a process trusts.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use secrecy::{ExposeSecret, SecretSlice};
use subtle::ConstantTimeEq;

use crate::event::{Header, V1};
use crate::hash::Hash;
use crate::seal::suite::{self, check_shape};
use crate::seal::{KeyId, KeyKind, KeyringError, PublicKey, Signer, Suite, V1Signer};
use crate::v1;
use crate::verdict::Verdict;

/// The keys of a process, for signing and for checking. Cloning a keyring does not copy secrets.
///
/// A key is trusted only if it is in the keyring: a row, a message or a bundle can name any key.
#[derive(Clone)]
pub struct Keyring {
    pub(super) keys: Vec<Arc<Key>>,
}

/// A key of a keyring. The secret is not printed, and it is wiped from memory when the keyring is dropped.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) kind: KeyKind,
    pub(super) secret: Option<SecretSlice<u8>>,
    pub(super) public: Option<PublicKey>,
    pub(super) status: Status,
    pub(super) window: Window,
}

/// The status of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The key signs. At most one key of each kind can be active.
    #[default]
    Active,
    /// The key does not sign any more. Its earlier signatures count.
    Retired,
    /// The key is not trusted outside its window.
    Revoked,
}

/// The log indexes for which a key counts: `from <= index < until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// First index.
    pub from: u64,
    /// Index after the last one; `None` if the window has no end.
    pub until: Option<u64>,
}

impl Window {
    /// Returns whether the window contains an index.
    pub fn contains(self, index: u64) -> bool {
        self.from <= index && self.until.is_none_or(|until| index < until)
    }

    /// Returns the intersection of two windows.
    #[must_use]
    pub fn narrowed(self, other: Self) -> Self {
        let until = [self.until, other.until].into_iter().flatten().min();
        Self { from: self.from.max(other.from), until }
    }
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
        let key = self.active("hmac- or ed25519-", |kind| matches!(kind, KeyKind::Hmac | KeyKind::Ed25519))?;
        Signer::new(key).ok_or_else(|| KeyringError::NoSecret { id: key.id.clone() })
    }

    /// Returns the signer of a key, active or not. A key that will become active makes its proof with it. Fails if the key does
    /// not seal events, or the keyring does not have its secret.
    pub fn signer_of(&self, kid: &KeyId) -> Result<Signer, KeyringError> {
        self.key(kid).and_then(Signer::new).ok_or_else(|| KeyringError::NoSecret { id: kid.clone() })
    }

    /// Returns the active key pair of a kind, for signing notes. Fails if the keyring does not have exactly one such key with
    /// its secret.
    pub(crate) fn active_pair(&self, kind: KeyKind) -> Result<(PublicKey, Ed25519KeyPair), KeyringError> {
        let key = self.active(kind.prefix(), |other| other == kind)?;
        let pair = key.secret().and_then(|seed| Ed25519KeyPair::from_seed_unchecked(seed).ok());
        key.public.clone().zip(pair).ok_or_else(|| KeyringError::NoSecret { id: key.id.clone() })
    }

    /// Returns the only active key of these kinds. `prefixes` names the kinds in the error.
    fn active(&self, prefixes: &'static str, is_kind: impl Fn(KeyKind) -> bool) -> Result<&Arc<Key>, KeyringError> {
        let mut active = self.keys.iter().filter(|key| key.status == Status::Active && is_kind(key.kind));
        match (active.next(), active.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(KeyringError::NoActiveKey { prefixes }),
            (Some(_), Some(_)) => Err(KeyringError::ManyActiveKeys { prefixes }),
        }
    }

    /// Returns all keys in the order of the files.
    pub fn keys(&self) -> impl Iterator<Item = HeldKey<'_>> {
        self.keys.iter().map(|key| key.held())
    }

    /// Returns the public keys of a kind that are not revoked, in the order of the keyring. A policy pins those of `log-` keys.
    pub fn public_keys(&self, kind: KeyKind) -> impl Iterator<Item = &PublicKey> {
        let trusted = self.keys.iter().filter(move |key| key.kind == kind && key.status != Status::Revoked);
        trusted.filter_map(|key| key.public.as_ref())
    }

    /// Returns the signer of the active `v1-` key for the columns of scheme v1, or `None` if no `v1-` key is active.
    pub fn v1_signer(&self) -> Option<V1Signer> {
        let active = self.keys.iter().find(|key| key.kind == KeyKind::V1 && key.status == Status::Active);
        active.map(|key| V1Signer(key.clone()))
    }

    /// Checks the seal of an event whose header has the hash `event_hash`: first the suite of the key (SUITE), then whether the
    /// key is trusted (`UNTRUSTED_KEY`), then the bytes (MAC, SIGNATURE).
    ///
    /// The caller must have computed or compared `event_hash` itself. The window of the key is not checked here, since that
    /// requires the log.
    pub fn check(&self, header: &Header, event_hash: &Hash, mac: &[u8], sig: &[u8]) -> Result<Checked, Verdict> {
        let suite = check_shape(&header.kid, mac, sig)?;
        let key = self.key(&header.kid).ok_or(Verdict::UntrustedKey)?;
        match (suite, key.secret()) {
            // Without the secret, only the length of a MAC can be checked.
            (Suite::Hmac, None) if mac.len() == 32 => Ok(Checked::NoSecret),
            (Suite::Hmac, None) => Err(Verdict::Mac),
            (Suite::Hmac, Some(secret)) => {
                let plan_key = suite::plan_key(secret, &header.origin, &header.tenant, &header.plan);
                if suite::mac_matches(&plan_key, event_hash, mac) { Ok(Checked::Valid) } else { Err(Verdict::Mac) }
            }
            (Suite::Ed25519, _) => {
                let message = suite::signature_message(&key.id, event_hash);
                let valid = key.public.as_ref().is_some_and(|public| public.verifies(&message, sig));
                if valid { Ok(Checked::Valid) } else { Err(Verdict::Signature) }
            }
        }
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
        let mut secrets =
            self.keys.iter().filter(|key| key.kind == KeyKind::V1).filter_map(|key| key.secret()).peekable();
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
        self.key(id).filter(|key| key.kind == KeyKind::Kek).map(|key| kek_secret(key))
    }

    pub(super) fn key(&self, kid: &KeyId) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| key.id == *kid)
    }
}

impl Key {
    pub(super) fn secret(&self) -> Option<&[u8]> {
        self.secret.as_ref().map(ExposeSecret::expose_secret)
    }

    fn held(&self) -> HeldKey<'_> {
        let Self { id, kind, secret, public, status, window } = self;
        let has_secret = secret.is_some();
        HeldKey { id, kind: *kind, status: *status, pinned: *window, public: public.as_ref(), has_secret }
    }

    /// Returns whether two keys have the same id, secret or public key, so that one key would have two uses.
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        let one_secret = match (self.secret(), other.secret()) {
            (Some(one), Some(two)) => one.ct_eq(two).into(),
            _ => false,
        };
        self.id == other.id || one_secret || (self.public.is_some() && self.public == other.public)
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
