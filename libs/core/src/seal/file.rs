//! The keyring's files: `{"keys":[{"id","secret","public","status","from","until"}]}` (INTEGRITY, Keys), and all that refuses
//! the start.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::seal::key::Key;
use crate::seal::{KeyId, KeyKind, Keyring, NewKey, PublicKey, Status, Window};

/// Why a keyring is refused. No secret is ever part of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum KeyringError {
    #[error(
        "the keyring is not {{\"keys\":[{{\"id\",\"secret\",\"public\",\"status\",\"from\",\"until\"}}]}}: line {line}, column {column}"
    )]
    Syntax { line: usize, column: usize },
    #[error("{id:?} is no key id: hmac-, v1-, kek-, ed25519-, log- or witness-, then 16 lower-case hex digits")]
    Id { id: KeyId },
    #[error("the {field} of key {id} is not base64 in its one spelling (RFC 4648 section 4, with padding)")]
    Base64 { id: KeyId, field: &'static str },
    #[error("the secret of key {id} has under 32 bytes, or fewer than 8 different ones")]
    WeakSecret { id: KeyId },
    #[error("the secret of key {id} is not of 32 bytes")]
    SecretLength { id: KeyId },
    #[error("key {id} has neither secret nor public key")]
    Empty { id: KeyId },
    #[error("key {id} has a public key, and keys of its kind have none")]
    PublicNotWanted { id: KeyId },
    #[error("the public key of {id} is not 32 bytes that are canonical and not of small order")]
    Public { id: KeyId },
    #[error("the id of key {id} is not the one of its public key, {right}")]
    IdOfOtherKey { id: KeyId, right: KeyId },
    #[error("the public key of {id} is not the one of its secret")]
    PublicOfOtherSecret { id: KeyId },
    #[error("keys {one} and {other} share an id, a secret or a public key, and no key has two uses")]
    Shared { one: KeyId, other: KeyId },
    #[error("the keyring has no active hmac- or ed25519- key to sign with")]
    NoActiveKey,
    #[error("the keyring has more than one active hmac- or ed25519- key")]
    ManyActiveKeys,
    #[error("the keyring has no active {} key", kind.prefix())]
    NoActivePair { kind: KeyKind },
    #[error("the keyring has more than one active {} key", kind.prefix())]
    ManyActivePairs { kind: KeyKind },
    #[error("the keyring lacks the secret of its active key {id}")]
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

/// An entry as it is written without its secret.
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

/// A secret's base64, wiped when it goes.
#[derive(Deserialize)]
#[serde(from = "String")]
struct SecretText(Zeroizing<String>);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Keyring {
    /// The keyring of this JSON.
    ///
    /// Refused: another shape or an unknown member; a weak secret (under 32 bytes, or fewer than 8 different ones); an id that
    /// is malformed or not its public key's; a public key of small order, not canonical or not its secret's; one id, secret or
    /// public key twice.
    pub fn parse(json: &str) -> Result<Self, KeyringError> {
        Self::of(entries(json)?)
    }

    /// The JSON of a keyring for development: an active key each to seal events with (Ed25519), for the log's checkpoints, for
    /// the older contract, and to wrap data keys under, made of `random` and nothing else.
    /// The bytes have to come from the system's generator; ones without any variety are refused as a weak secret.
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

    /// The JSON of a keyring file with an active `kek-` key added, made of `random` and nothing else; as it is where the file
    /// has one. Refused as by [`Keyring::parse`].
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

    /// The same keys without their secrets: what a verifier pins. Keys that are nothing without a secret are left out.
    #[must_use]
    pub fn public_only(&self) -> Self {
        let keys = self.keys.iter().filter(|key| !matches!(key.kind, KeyKind::V1 | KeyKind::Kek));
        let keys = keys.map(|key| Key { secret: None, id: key.id.clone(), public: key.public.clone(), ..*key });
        Self { keys: keys.collect() }
    }

    /// The JSON of the same keys without their secrets, in the keyring's order.
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

    /// The JSON of a keyring of one active key pair, an `ed25519-`, `log-` or `witness-` key, made of `seed` and nothing else.
    /// The bytes have to come from the system's generator. Refused: ones without any variety, a kind without a public half.
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

/// An active key without a public half: 32 bytes of secret, 8 of its id.
fn symmetric(kind: KeyKind, random: &[u8; 40]) -> serde_json::Value {
    let (secret, id) = random.split_at(32);
    let id = kind.id(id.try_into().expect("40 bytes are 32 and 8"));
    serde_json::json!({ "id": id, "secret": STANDARD.encode(secret), "status": "active" })
}

/// serde's own message is not passed on: it may quote the text, and with it a secret in the wrong place.
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
            let seed: &[u8; 32] = secret.as_slice().try_into().expect("decode_secret saw to 32 bytes");
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
    // An hmac key may be pinned by its id alone: its MACs are then passed over.
    if secret.is_none() && public.is_none() && kind != KeyKind::Hmac {
        return Err(KeyringError::Empty { id });
    }
    // Copied, not moved: a vector that shrinks into a box can leave its bytes behind.
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

/// Under 32 bytes, or fewer than 8 different ones.
fn is_weak(secret: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in secret {
        seen[usize::from(*byte)] = true;
    }
    secret.len() < 32 || seen.iter().filter(|seen| **seen).count() < 8
}
