//! The keys of a keyring.

use secrecy::{ExposeSecret, SecretSlice};
use subtle::ConstantTimeEq;

use crate::event::Header;
use crate::hash::Hash;
use crate::seal::{Checked, HeldKey, KeyId, KeyKind, PublicKey, Suite, suite};
use crate::verdict::Verdict;

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

impl Key {
    pub(super) fn secret(&self) -> Option<&[u8]> {
        self.secret.as_ref().map(ExposeSecret::expose_secret)
    }

    pub(super) fn held(&self) -> HeldKey<'_> {
        let Self { id, kind, secret, public, status, window } = self;
        let has_secret = secret.is_some();
        HeldKey { id, kind: *kind, status: *status, pinned: *window, public: public.as_ref(), has_secret }
    }

    /// Checks the MAC or signature of an event that names this key.
    pub(super) fn check(&self, header: &Header, event_hash: &Hash, mac: &[u8], sig: &[u8]) -> Result<Checked, Verdict> {
        match suite::check_shape(&self.id, mac, sig)? {
            Suite::Hmac => match self.secret() {
                // Without the secret, only the length of a MAC can be checked.
                None if mac.len() == 32 => Ok(Checked::NoSecret),
                Some(secret) => {
                    let plan_key = suite::plan_key(secret, &header.origin, &header.tenant, &header.plan);
                    if suite::mac_matches(&plan_key, event_hash, mac) { Ok(Checked::Valid) } else { Err(Verdict::Mac) }
                }
                None => Err(Verdict::Mac),
            },
            Suite::Ed25519 => {
                let message = suite::signature_message(&self.id, event_hash);
                let valid = self.public.as_ref().is_some_and(|public| public.verifies(&message, sig));
                if valid { Ok(Checked::Valid) } else { Err(Verdict::Signature) }
            }
        }
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
