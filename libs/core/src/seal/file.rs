//! Keyring files, `{"keys":[{"id","secret","public","status","from","until"}]}` (docs/spec/integrity.md#keys-file), and the
//! reasons for which they are refused (docs/spec/integrity.md#keys-refused).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::seal::key::Key;
use crate::seal::{KeyId, KeyKind, Keyring, NewKey, PublicKey, Status, Window};

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
    #[error("the keyring has no active hmac- or ed25519- key")]
    NoActiveKey,
    #[error("the keyring has more than one active hmac- or ed25519- key")]
    ManyActiveKeys,
    #[error("the keyring has no active {} key", kind.prefix())]
    NoActivePair { kind: KeyKind },
    #[error("the keyring has more than one active {} key", kind.prefix())]
    ManyActivePairs { kind: KeyKind },
    #[error("the keyring does not have the secret of key {id}")]
    NoSecret { id: KeyId },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    id: KeyId,
    secret: Option<SecretText>,
    public: Option<String>,
    #[serde(default)]
    status: Status,
    from: Option<u64>,
    until: Option<u64>,
}

/// An entry without its secret.
#[derive(Serialize)]
struct Pinned<'k> {
    id: &'k KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// The base64 of a secret, which is wiped from memory on drop.
#[derive(Deserialize)]
#[serde(from = "String")]
struct SecretText(Zeroizing<String>);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
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
        let (seed, rest) = random.split_at(32);
        let (log_seed, rest) = rest.split_at(32);
        let (v1, kek) = rest.split_at(40);
        let pair = |kind: KeyKind, seed: &[u8]| {
            let public = PublicKey::of_seed(seed.try_into().expect("32 bytes were split off"));
            serde_json::json!({
                "id": kind.id_of_public(public.as_bytes()),
                "secret": STANDARD.encode(seed),
                "public": STANDARD.encode(public.as_bytes()),
                "status": "active",
            })
        };
        let json = serde_json::json!({"keys": [
            pair(KeyKind::Ed25519, seed),
            pair(KeyKind::Log, log_seed),
            symmetric(KeyKind::V1, v1.try_into().expect("144 bytes are twice 32, and twice 40")),
            symmetric(KeyKind::Kek, kek.try_into().expect("as above")),
        ]});
        let json = format!("{json:#}\n");
        Self::parse(&json).map(|_| json)
    }

    /// Returns the JSON of a keyring file with an additional active `kek-` key, made from `random` only. A file that has an
    /// active `kek-` key stays as it is. Refuses what [`Keyring::parse`] refuses.
    pub fn with_kek(json: &str, random: &[u8; 40]) -> Result<String, KeyringError> {
        if Self::parse(json)?.active_kek().is_some() {
            return Ok(json.to_owned());
        }
        let mut file: serde_json::Value = serde_json::from_str(json)
            .map_err(|error| KeyringError::Syntax { line: error.line(), column: error.column() })?;
        if let Some(keys) = file["keys"].as_array_mut() {
            keys.push(symmetric(KeyKind::Kek, random));
        }
        let json = format!("{file:#}\n");
        Self::parse(&json).map(|_| json)
    }

    /// Returns the keys without their secrets, for verifiers to pin. `v1-` and `kek-` keys are left out, since they are useless
    /// without a secret.
    #[must_use]
    pub fn public_only(&self) -> Self {
        let keys = self.keys.iter().filter(|key| !matches!(key.kind, KeyKind::V1 | KeyKind::Kek));
        let keys = keys.map(|key| Key { secret: None, id: key.id.clone(), public: key.public.clone(), ..*key });
        Self { keys: keys.collect() }
    }

    /// Returns the JSON of [`Keyring::public_only`], in the order of the keyring.
    pub fn to_public_json(&self) -> String {
        let public = self.public_only();
        let keys: Vec<_> = public
            .keys
            .iter()
            .map(|key| Pinned {
                id: &key.id,
                public: key.public.as_ref().map(|public| STANDARD.encode(public.as_bytes())),
                status: key.status,
                from: Some(key.window.from).filter(|from| *from > 0),
                until: key.window.until,
            })
            .collect();
        format!("{:#}\n", serde_json::json!({ "keys": keys }))
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
        let keys = entries.into_iter().map(key).collect::<Result<Vec<_>, _>>()?;
        for (index, one) in keys.iter().enumerate() {
            if let Some(other) = keys[..index].iter().find(|other| other.is_shared_with(one)) {
                return Err(KeyringError::Shared { one: other.id.clone(), other: one.id.clone() });
            }
        }
        Ok(Self { keys: keys.into() })
    }
}

/// Returns an active key without public key, from 32 bytes of secret and 8 bytes of id.
fn symmetric(kind: KeyKind, random: &[u8; 40]) -> serde_json::Value {
    let (secret, id) = random.split_at(32);
    let id = kind.id(id.try_into().expect("40 bytes are 32 and 8"));
    serde_json::json!({ "id": id, "secret": STANDARD.encode(secret), "status": "active" })
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
    let secret = secret.map(|text| decode_secret(&id, kind, &text.0)).transpose()?;
    let public = match public {
        Some(_) if !kind.has_public() => return Err(KeyringError::PublicNotWanted { id }),
        Some(text) => Some(decode_public(&id, &text)?),
        None => None,
    };
    let derived = match &secret {
        Some(secret) if kind.has_public() => {
            let seed: &[u8; 32] = secret
                .as_slice()
                .try_into()
                .expect("decode_secret refuses key pairs whose secret does not have 32 bytes");
            Some(PublicKey::of_seed(seed))
        }
        _ => None,
    };
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
    let mut seen = [false; 256];
    for byte in secret {
        seen[usize::from(*byte)] = true;
    }
    secret.len() < 32 || seen.iter().filter(|seen| **seen).count() < 8
}
