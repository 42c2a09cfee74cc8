//! New keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use crate::seal::{KeyId, KeyKind, Keyring, KeyringError, PublicKey, Status};

/// A new key as an entry of a keyring file. Its secret is not printed, and it is wiped from memory on drop.
pub struct NewKey {
    id: KeyId,
    public: Option<PublicKey>,
    entry: Zeroizing<String>,
}

impl NewKey {
    /// Makes a key from these bytes only: 32 are its secret; 8 are its id, if its kind has no public key. The bytes must come from
    /// the system's random generator. A weak secret is refused.
    pub fn new(kind: KeyKind, random: &[u8; 40], status: Status) -> Result<Self, KeyringError> {
        let (secret, name) = random.split_first_chunk::<32>().expect("40 bytes are more than 32");
        let public = kind.has_public().then(|| PublicKey::of_seed(secret));
        let id = match &public {
            Some(public) => kind.id_of_public(public.as_bytes()),
            None => kind.id(name.try_into().expect("40 bytes are 32 and 8")),
        };
        let secret = Zeroizing::new(STANDARD.encode(secret));
        let public_member =
            public.as_ref().map(|public| format!(", \"public\": \"{}\"", STANDARD.encode(public.as_bytes())));
        let entry = Zeroizing::new(format!(
            "{{ \"id\": \"{id}\", \"secret\": \"{}\"{}, \"status\": {} }}",
            secret.as_str(),
            public_member.unwrap_or_default(),
            json!(status),
        ));
        let key = Self { id, public, entry };
        Keyring::parse(&key.keyring()).map(|_| key)
    }

    /// Returns the id of the key.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the public key, if the kind of the key has one.
    pub fn public(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// Returns the text of a keyring file with only this key.
    pub fn keyring(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{{\n  \"keys\": [\n    {}\n  ]\n}}\n", self.entry.as_str()))
    }

    pub(super) fn entry(&self) -> &str {
        &self.entry
    }
}
