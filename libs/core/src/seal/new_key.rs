//! A key that is being made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use crate::seal::{KeyId, KeyKind, Keyring, KeyringError, PublicKey, Status};

/// A new key, as an entry of a keyring file. Its secret prints as nothing, and is wiped when it goes.
pub struct NewKey {
    id: KeyId,
    public: Option<PublicKey>,
    entry: Zeroizing<String>,
}

impl NewKey {
    /// The key made of these bytes and of nothing else: 32 are its secret, 8 name it where its kind has no public half.
    /// They have to come from the system's generator; a secret without any variety is refused.
    pub fn new(kind: KeyKind, random: &[u8; 40], status: Status) -> Result<Self, KeyringError> {
        let (secret, name) = random.split_first_chunk::<32>().expect("40 bytes are more than 32");
        let public = kind.has_public().then(|| PublicKey::of_seed(secret));
        let id = match &public {
            Some(public) => kind.id_of_public(public.as_bytes()),
            None => kind.id(name.try_into().expect("40 bytes are 32, and 8")),
        };
        let secret = Zeroizing::new(STANDARD.encode(secret));
        let half = public.as_ref().map(|public| format!(", \"public\": \"{}\"", STANDARD.encode(public.as_bytes())));
        let entry = Zeroizing::new(format!(
            "{{ \"id\": \"{id}\", \"secret\": \"{}\"{}, \"status\": {} }}",
            secret.as_str(),
            half.unwrap_or_default(),
            json!(status),
        ));
        let key = Self { id, public, entry };
        Keyring::parse(&key.keyring()).map(|_| key)
    }

    /// What it is called.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Its public half, where its kind has one.
    pub fn public(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// The text of a keyring file of this key alone.
    pub fn keyring(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{{\n  \"keys\": [\n    {}\n  ]\n}}\n", self.entry.as_str()))
    }

    pub(super) fn entry(&self) -> &str {
        &self.entry
    }
}
