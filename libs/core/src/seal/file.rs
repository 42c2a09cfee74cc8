//! Keyring files, `{"keys":[{"id","secret","public","status","from","until"}]}` (docs/spec/integrity.md#keys-file), and the
//! reasons for which they are refused (docs/spec/integrity.md#keys-refused).

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretSlice;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::seal::keyring::Key;
use crate::seal::{KeyId, KeyKind, Keyring, KeyringText, NewKey, PublicKey, Status, Window};

/// The reason for which a keyring is refused. No message contains a secret.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum KeyringError {
    #[error(
        "the keyring is not {{\"keys\":[{{\"id\",\"secret\",\"public\",\"status\",\"from\",\"until\"}}]}}: line {line}, column {column}"
    )]
    Syntax { line: usize, column: usize },
    #[error("{id:?} is not a key id: hmac-, v1-, kek-, ed25519-, log- or witness-, then 16 lower-case hex digits")]
    Id { id: KeyId },
    #[error("the {field} of key {id} is not canonical base64 (RFC 4648 section 4, with padding)")]
    Base64 { id: KeyId, field: &'static str },
    #[error("the secret of key {id} has fewer than 32 bytes, or fewer than 8 different ones")]
    WeakSecret { id: KeyId },
    #[error("the secret of key {id} does not have 32 bytes")]
    SecretLength { id: KeyId },
    #[error("key {id} has neither secret nor public key")]
    Empty { id: KeyId },
    #[error("key {id} has a public key, but keys of its kind do not have one")]
    PublicNotWanted { id: KeyId },
    #[error("the public key of {id} is not 32 bytes of a canonical point that is not of small order")]
    Public { id: KeyId },
    #[error("the id of key {id} does not match its public key, whose id is {right}")]
    IdOfOtherKey { id: KeyId, right: KeyId },
    #[error("the public key of {id} does not match its secret")]
    PublicOfOtherSecret { id: KeyId },
    #[error("keys {one} and {other} have the same id, secret or public key; each key must have one use")]
    Shared { one: KeyId, other: KeyId },
    #[error("the keyring has no active {prefixes} key")]
    NoActiveKey { prefixes: &'static str },
    #[error("the keyring has more than one active {prefixes} key")]
    ManyActiveKeys { prefixes: &'static str },
    #[error("the keyring does not have the secret of key {id}")]
    NoSecret { id: KeyId },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

/// A key. Its secret is wiped from memory on drop, and is never written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    id: KeyId,
    #[serde(default, deserialize_with = "zeroizing", skip_serializing)]
    secret: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(default)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

fn zeroizing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Option::deserialize(deserializer).map(|text| text.map(Zeroizing::new))
}

impl Keyring {
    /// Parses the JSON of a keyring.
    ///
    /// Refuses another form or an unknown member; a weak secret (fewer than 32 bytes, or fewer than 8 different ones); an id that
    /// is malformed or does not match the public key; a public key that is of small order, not canonical, or does not match the
    /// secret; and two keys with the same id, secret or public key.
    pub fn parse(json: &str) -> Result<Self, KeyringError> {
        Self::of(entries(json)?)
    }

    /// Returns the JSON of a keyring for development, made from `random` only: an active key each for sealing events (Ed25519),
    /// signing the log's checkpoints, making the signatures of scheme v1, and wrapping data keys.
    ///
    /// The bytes must come from the system's random generator. Weak secrets are refused.
    pub fn generate_dev(random: &[u8; 144]) -> Result<String, KeyringError> {
        // A key pair takes 32 bytes and any other key 40.
        let new_key = |kind, start: usize| {
            let random = random[start..].first_chunk().expect("40 bytes follow each start");
            NewKey::new(kind, random, Status::Active)
        };
        let mut text = KeyringText::new(new_key(KeyKind::Ed25519, 0)?.keyring())?;
        for (kind, start) in [(KeyKind::Log, 32), (KeyKind::V1, 64), (KeyKind::Kek, 104)] {
            text.add(&new_key(kind, start)?);
        }
        Self::parse(text.as_str()).map(|_| text.as_str().to_owned())
    }

    /// Returns the JSON of a keyring file with an additional active `kek-` key, made from `random` only. A file that has an
    /// active `kek-` key stays as it is. Refuses what [`Keyring::parse`] refuses.
    pub fn with_kek(json: &str, random: &[u8; 40]) -> Result<String, KeyringError> {
        let mut text = KeyringText::new(Zeroizing::new(json.to_owned()))?;
        if !Self::parse(json)?.wraps_data_keys() {
            text.add(&NewKey::new(KeyKind::Kek, random, Status::Active)?);
        }
        Self::parse(text.as_str()).map(|_| text.as_str().to_owned())
    }

    /// Returns the JSON of the keys without their secrets, for verifiers to pin, in the order of the keyring. `v1-` and `kek-`
    /// keys are left out, since they are useless without a secret.
    pub fn to_public_json(&self) -> String {
        let keys = self.keys.iter().filter(|key| !matches!(key.kind, KeyKind::V1 | KeyKind::Kek));
        let entries = keys.map(|key| Entry {
            id: key.id.clone(),
            secret: None,
            public: key.public.as_ref().map(ToString::to_string),
            status: key.status,
            from: Some(key.window.from).filter(|from| *from > 0),
            until: key.window.until,
        });
        format!("{:#}\n", serde_json::json!({ "keys": entries.collect::<Vec<_>>() }))
    }

    /// Returns the JSON of a keyring with one active key pair, an `ed25519-`, `log-` or `witness-` key, made from `seed` only. The
    /// bytes must come from the system's random generator. Refuses a weak seed and a kind without public key.
    pub fn generate(kind: KeyKind, seed: &[u8; 32]) -> Result<String, KeyringError> {
        if !kind.has_public() {
            return Err(KeyringError::PublicNotWanted { id: kind.id([0; 8]) });
        }
        let mut random = Zeroizing::new([0; 40]);
        random[..32].copy_from_slice(seed);
        Ok(NewKey::new(kind, &random, Status::Active)?.keyring().to_string())
    }

    pub(super) fn of(entries: Vec<Entry>) -> Result<Self, KeyringError> {
        let keys = entries.into_iter().map(|entry| key(entry).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        for (index, one) in keys.iter().enumerate() {
            if let Some(other) = keys[..index].iter().find(|other| other.is_shared_with(one)) {
                return Err(KeyringError::Shared { one: other.id.clone(), other: one.id.clone() });
            }
        }
        Ok(Self { keys })
    }
}

/// Parses the entries. The message of serde is dropped, because it may quote a secret that is in the wrong place.
pub(super) fn entries(json: &str) -> Result<Vec<Entry>, KeyringError> {
    let file: File = serde_json::from_str(json)
        .map_err(|error| KeyringError::Syntax { line: error.line(), column: error.column() })?;
    Ok(file.keys)
}

fn key(entry: Entry) -> Result<Key, KeyringError> {
    let Entry { id, secret, public, status, from, until } = entry;
    let Some(kind) = id.kind() else { return Err(KeyringError::Id { id }) };
    let secret = secret.map(|text| decode_secret(&id, kind, &text)).transpose()?;
    if public.is_some() && !kind.has_public() {
        return Err(KeyringError::PublicNotWanted { id });
    }
    let public = public.map(|text| decode_public(&id, &text)).transpose()?;
    let seed = secret.as_ref().filter(|_| kind.has_public());
    let derived =
        seed.map(|seed| PublicKey::of_seed(seed.as_slice().try_into().expect("decode_secret checks the length")));
    if public.is_some() && derived.is_some() && public != derived {
        return Err(KeyringError::PublicOfOtherSecret { id });
    }
    let public = public.or(derived);
    if let Some(public) = &public {
        let right = kind.id_of_public(public.as_bytes());
        if id != right {
            return Err(KeyringError::IdOfOtherKey { id, right });
        }
    }
    // An hmac key may be pinned by its id alone. Its MACs are then not checked.
    if secret.is_none() && public.is_none() && kind != KeyKind::Hmac {
        return Err(KeyringError::Empty { id });
    }
    // The secret is copied, because a vector that is shrunk into a box can leave its bytes in memory.
    let secret = secret.map(|secret| SecretSlice::new(Box::from(secret.as_slice())));
    Ok(Key { id, kind, secret, public, status, window: Window { from: from.unwrap_or(0), until } })
}

fn decode_secret(id: &KeyId, kind: KeyKind, text: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let secret = STANDARD.decode(text).map_err(|_| KeyringError::Base64 { id: id.clone(), field: "secret" })?;
    let secret = Zeroizing::new(secret);
    if is_weak(&secret) {
        return Err(KeyringError::WeakSecret { id: id.clone() });
    }
    if (kind.has_public() || kind == KeyKind::Kek) && secret.len() != 32 {
        return Err(KeyringError::SecretLength { id: id.clone() });
    }
    Ok(secret)
}

fn decode_public(id: &KeyId, text: &str) -> Result<PublicKey, KeyringError> {
    let bytes = STANDARD.decode(text).map_err(|_| KeyringError::Base64 { id: id.clone(), field: "public key" })?;
    let public = bytes.as_slice().try_into().ok().and_then(PublicKey::from_bytes);
    public.ok_or_else(|| KeyringError::Public { id: id.clone() })
}

/// Returns whether a secret has fewer than 32 bytes, or fewer than 8 different ones.
fn is_weak(secret: &[u8]) -> bool {
    secret.len() < 32 || BTreeSet::from_iter(secret).len() < 8
}
