//! Sealing and opening envelopes.

use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::envelope::{Binding, DataKey, Envelope, Nonce, Plaintext, aead};
use crate::event::{FormatError, Header, PayloadMode, Record};
use crate::verdict::Verdict;

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
    /// Encrypts the payload of an event with the key of its data subject. A nonce must be used for one envelope only.
    pub fn seal(key: &DataKey, nonce: Nonce, binding: &Binding<'_>, plaintext: &Plaintext) -> Self {
        let derived = key.envelope_key(&nonce);
        let ciphertext = aead::encrypt(&derived.key, &nonce, plaintext.encode().as_bytes(), &binding.associated_data());
        Self { key_id: key.key_id(), nonce, commitment: derived.commitment, ciphertext }
    }

    /// Decrypts the envelope. It checks the commitment in constant time, then the ciphertext together with the binding, and then
    /// the form of the plaintext.
    pub fn open(&self, key: &DataKey, binding: &Binding<'_>) -> Result<Plaintext, Unopened> {
        let derived = key.envelope_key(&self.nonce);
        let committed: bool = derived.commitment.ct_eq(&self.commitment).into();
        if !committed || self.key_id != key.key_id() {
            return Err(Unopened::Commitment(key.key_id()));
        }
        let text = aead::decrypt(&derived.key, &self.nonce, &self.ciphertext, &binding.associated_data());
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
