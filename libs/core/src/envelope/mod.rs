//! Payloads encrypted for a data subject, and their erasure (docs/spec/integrity.md#erasure-envelopes).
//!
//! A *data key* belongs to one data subject of one tenant. It is stored in one row, wrapped under a `kek-` key of the keyring.
//! When this row and the last backup of it are destroyed, no copy of a payload under the key can be read. The *envelope* of an
//! event is what is hashed, sealed and stored, so its chain and all proofs stay valid without the key.
//!
//! An envelope commits to its key; otherwise a ciphertext could be constructed that opens to different texts under two keys. It
//! is bound to its event; in another event it does not open. Keys and nonces are passed in, since this crate has no randomness.

pub(crate) mod aead;
mod binding;
mod data_key;
mod plaintext;
mod subject;
mod wrap;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub use self::aead::Nonce;
use self::aead::TAG_LENGTH;
pub use self::binding::Binding;
pub use self::data_key::DataKey;
pub use self::plaintext::Plaintext;
pub use self::subject::DataSubject;
pub use self::wrap::{UnwrapError, WrappedKey};
use crate::canonical::{self, Limits, Node};
use crate::event::{FormatError, Header, PayloadMode, Record, plain_uuid};
use crate::verdict::Verdict;

const SCHEME: &str = "sealbus/envelope/v2";
/// The number of an envelope's members.
const MEMBERS: usize = 5;
/// An envelope is an object of strings. Its size is not limited here, because the size of its plaintext is.
const LIMITS: Limits = Limits { bytes: usize::MAX, depth: 1 };

/// A payload encrypted under a data key. It is what is hashed, sealed and stored of an encrypted event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    key_id: Uuid,
    nonce: Nonce,
    commitment: [u8; 32],
    /// Ends with the tag.
    ciphertext: Vec<u8>,
}

/// The reason for which an envelope is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// The envelope or its plaintext does not have the right form.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The data key does not exist, and no erasure names it.
    #[error("data key {0} does not exist, and no event records its erasure")]
    KeyLost(Uuid),
    /// The envelope was not made with this data key.
    #[error("commitment does not match data key {0}")]
    Commitment(Uuid),
    /// The envelope belongs to another event, or its ciphertext was changed.
    #[error("ciphertext belongs to another event or was changed")]
    Aad,
    /// An erasure names the data key. This is not a fault.
    #[error("data key {0} was erased")]
    Erased(Uuid),
}

impl Unopened {
    /// Returns the verdict. `ERASED` is docs/spec/integrity.md#verify-20, after all other checks of an event; the others are
    /// docs/spec/integrity.md#verify-16.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Format(_) => Verdict::Format,
            Self::KeyLost(_) => Verdict::KeyLost,
            Self::Commitment(_) => Verdict::Commitment,
            Self::Aad => Verdict::Aad,
            Self::Erased(_) => Verdict::Erased,
        }
    }
}

impl Envelope {
    /// Returns the id of the data key.
    pub fn key_id(&self) -> Uuid {
        self.key_id
    }

    /// Returns the canonical text (RFC 8785), which is the payload of the event.
    pub fn to_text(&self) -> String {
        canonical::write(&json!({
            "ciphertext": STANDARD.encode(&self.ciphertext),
            "commitment": STANDARD.encode(self.commitment),
            "key": self.key_id,
            "nonce": STANDARD.encode(self.nonce),
            "scheme": SCHEME,
        }))
    }

    /// Parses the text of an envelope. Order, spaces and escapes may differ from the canonical text, because a database may have
    /// changed them.
    ///
    /// Refuses another scheme; a missing, unknown or duplicate member; bytes of another length, or not in canonical base64; and
    /// a key id that is not a UUID in lower-case 8-4-4-4-12 form.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let canonical = canonical::part(text.as_bytes(), LIMITS).ok().filter(|text| text.node().members().is_some());
        let canonical = canonical.ok_or(FormatError::Field { field: "envelope", rule: "an object of strings" })?;
        let members = canonical.node();
        FormatError::require("scheme", member(members, "scheme")? == SCHEME, SCHEME)?;
        let key_id = FormatError::Field { field: "key", rule: "a UUID in lower-case 8-4-4-4-12 form" };
        let ciphertext = FormatError::Field { field: "ciphertext", rule: "base64 of at least 16 bytes" };
        let envelope = Self {
            key_id: plain_uuid(&member(members, "key")?).ok_or(key_id)?,
            nonce: bytes(members, "nonce", "base64 of 24 bytes")?,
            commitment: bytes(members, "commitment", "base64 of 32 bytes")?,
            ciphertext: STANDARD
                .decode(&*member(members, "ciphertext")?)
                .ok()
                .filter(|bytes| bytes.len() >= TAG_LENGTH)
                .ok_or(ciphertext)?,
        };
        let rule = "an object of exactly ciphertext, commitment, key, nonce and scheme";
        FormatError::require("envelope", members.members().into_iter().flatten().count() == MEMBERS, rule)?;
        Ok(envelope)
    }

    /// Encrypts the payload of an event with the key of its data subject. A nonce must be used for one envelope only.
    pub fn seal(key: &DataKey, nonce: Nonce, binding: &Binding<'_>, plaintext: &Plaintext) -> Self {
        let (secret, commitment) = key.envelope_key(&nonce);
        let ciphertext = aead::encrypt(&secret, &nonce, plaintext.encode().as_bytes(), &binding.associated_data());
        Self { key_id: key.key_id(), nonce, commitment, ciphertext }
    }

    /// Decrypts the envelope. It checks the commitment in constant time, then the ciphertext together with the binding, and then
    /// the form of the plaintext.
    pub fn open(&self, key: &DataKey, binding: &Binding<'_>) -> Result<Plaintext, Unopened> {
        let (secret, commitment) = key.envelope_key(&self.nonce);
        let committed: bool = commitment.ct_eq(&self.commitment).into();
        if !committed || self.key_id != key.key_id() {
            return Err(Unopened::Commitment(key.key_id()));
        }
        let text = aead::decrypt(&secret, &self.nonce, &self.ciphertext, &binding.associated_data());
        Ok(Plaintext::decode(&text.ok_or(Unopened::Aad)?)?)
    }

    /// Returns the envelope of a stored event, or `None` if the event is not encrypted. The data key is looked up by
    /// [`Envelope::key_id`] among those of the event's tenant.
    pub fn stored(record: &Record) -> Result<Option<Self>, FormatError> {
        if record.header.payload_mode != PayloadMode::Encrypted {
            return Ok(None);
        }
        let missing = FormatError::Field { field: "payload", rule: "an envelope, because the event is encrypted" };
        Self::parse(record.payload.as_deref().ok_or(missing)?).map(Some)
    }

    /// Opens the envelope of a stored event (docs/spec/integrity.md#erasure-open). `key` is the data key that it names, if it
    /// exists; `erased` tells whether a sealed `subject.erased` of the tenant names the key.
    ///
    /// An erased envelope is not opened even if its key exists. This can be the case after a restore, until the erasure is
    /// carried out again.
    pub fn open_stored(&self, header: &Header, key: Option<&DataKey>, erased: bool) -> Result<Plaintext, Unopened> {
        if erased {
            return Err(Unopened::Erased(self.key_id));
        }
        self.open(key.ok_or(Unopened::KeyLost(self.key_id))?, &Binding::of(header))
    }
}

fn member<'a>(envelope: Node<'a>, field: &'static str) -> Result<Cow<'a, str>, FormatError> {
    envelope.member(field).and_then(Node::string).ok_or(FormatError::Field { field, rule: "a string" })
}

fn bytes<const N: usize>(envelope: Node<'_>, field: &'static str, rule: &'static str) -> Result<[u8; N], FormatError> {
    let bytes = STANDARD.decode(&*member(envelope, field)?).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(FormatError::Field { field, rule })
}
