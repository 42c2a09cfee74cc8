//! Sealing an envelope, opening it, and what can be wrong with it.

use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::envelope::{Binding, DataKey, Envelope, Nonce, Plaintext, aead};
use crate::event::{FormatError, Header, PayloadMode, Record};
use crate::verdict::Verdict;

/// Why an envelope is not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// The envelope, or what it hides, is not of its form.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The data key is gone and no erasure names it.
    #[error("data key {0} is not here, and no event says that it was erased")]
    KeyLost(Uuid),
    /// The envelope is not of this data key.
    #[error("the commitment is not of data key {0}")]
    Commitment(Uuid),
    /// The envelope is of another event, or its ciphertext was changed.
    #[error("the ciphertext is of another event, or was changed")]
    Aad,
    /// An erasure names the data key. Nothing is wrong.
    #[error("data key {0} was erased")]
    Erased(Uuid),
}

impl Unopened {
    /// INTEGRITY's name for it. Of one event `ERASED` comes after every other verdict, the others are check 16.
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
    /// Encrypts for one event under its data subject's key. One nonce serves one envelope.
    pub fn seal(key: &DataKey, nonce: Nonce, binding: &Binding<'_>, plaintext: &Plaintext) -> Self {
        let derived = key.envelope_key(&nonce);
        let ciphertext = aead::encrypt(&derived.key, &nonce, plaintext.encode().as_bytes(), &binding.associated_data());
        Self { key_id: key.key_id(), nonce, commitment: derived.commitment, ciphertext }
    }

    /// What the envelope hides. Its form was checked when it was read; here first the commitment is, in constant time, then
    /// the ciphertext with the event that it is bound to, then the form of what it hides.
    pub fn open(&self, key: &DataKey, binding: &Binding<'_>) -> Result<Plaintext, Unopened> {
        let derived = key.envelope_key(&self.nonce);
        let committed: bool = derived.commitment.ct_eq(&self.commitment).into();
        if !committed || self.key_id != key.key_id() {
            return Err(Unopened::Commitment(key.key_id()));
        }
        let text = aead::decrypt(&derived.key, &self.nonce, &self.ciphertext, &binding.associated_data());
        Ok(Plaintext::decode(&text.ok_or(Unopened::Aad)?)?)
    }

    /// The envelope of a stored event, whose key is then to be looked up by [`Envelope::key_id`] within the event's tenant;
    /// `None` where the event is not encrypted.
    pub fn stored(record: &Record) -> Result<Option<Self>, FormatError> {
        if record.header.payload_mode != PayloadMode::Encrypted {
            return Ok(None);
        }
        let missing = FormatError::Field { field: "payload", rule: "an envelope where the event is encrypted" };
        Self::parse(record.payload.as_deref().ok_or(missing)?).map(Some)
    }

    /// Opens the envelope of a stored event (INTEGRITY, Verifying, checks 16 and 20). `key` is the one that it names, if it is
    /// still here; `erased` says whether a sealed `subject.erased` of the tenant names it.
    ///
    /// What was erased is never opened, even where its key is still here: after a restore, reading waits for the erasure to be
    /// done again.
    pub fn open_stored(&self, header: &Header, key: Option<&DataKey>, erased: bool) -> Result<Plaintext, Unopened> {
        if erased {
            return Err(Unopened::Erased(self.key_id));
        }
        self.open(key.ok_or(Unopened::KeyLost(self.key_id))?, &Binding::of(header))
    }
}
