//! Signing: the log's own key, and a witness's.

use std::fmt;

use crate::event::is_origin;
use crate::log::checkpoint::Checkpoint;
use crate::log::note::key::cosigned;
use crate::log::note::{Note, Signature, SignatureType, VerifierKey, VerifierKeyError};
use crate::seal::{KeyKind, KeyPair, Keyring, KeyringError};

/// Signs a log's checkpoints with the keyring's active `log-` key, whose name is the log's origin. Cloning it copies no secret.
#[derive(Clone)]
pub struct LogSigner(NamedPair);

/// Cosigns checkpoints with the keyring's active `witness-` key. Cloning it copies no secret.
#[derive(Clone)]
pub struct WitnessSigner(NamedPair);

/// Why there is nothing to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The keyring has no such key, or not its secret, or more than one.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The log's name is no origin ([`is_origin`]), or the witness's no key name ([`super::is_key_name`]).
    #[error("{name:?} is no name to sign with")]
    Name {
        /// The name.
        name: String,
    },
}

impl LogSigner {
    /// The signer of the log of this origin.
    pub fn new(keyring: &Keyring, origin: &str) -> Result<Self, SignerError> {
        if !is_origin(origin) {
            return Err(SignerError::Name { name: origin.to_owned() });
        }
        NamedPair::new(keyring, KeyKind::Log, origin).map(LogSigner)
    }

    /// The key to pin in a policy: of type 0x01, from which that of type 0x04 follows.
    pub fn verifier_key(&self) -> VerifierKey {
        self.0.key.with_type(SignatureType::Ed25519)
    }

    /// The note of a checkpoint: its text and two lines of the log's key, one without and one with the time, `time` seconds
    /// since 1970. With the same checkpoint and a later time it is the heartbeat.
    ///
    /// `None` where the checkpoint is of another origin: a log signs nobody else's.
    pub fn sign(&self, checkpoint: &Checkpoint, time: u64) -> Option<Note> {
        if checkpoint.origin() != self.0.key.name() {
            return None;
        }
        let text = checkpoint.to_string();
        let signature = self.0.pair.sign(text.as_bytes());
        let key = self.verifier_key();
        let signature = Signature::new(key.name().to_owned(), key.id(), signature.to_vec());
        let signatures = vec![signature, self.0.cosign(&text, time)];
        Some(Note::new(text, signatures).expect("a checkpoint signed by an origin is a note"))
    }
}

impl WitnessSigner {
    /// The signer of the witness of this name.
    pub fn new(keyring: &Keyring, name: &str) -> Result<Self, SignerError> {
        NamedPair::new(keyring, KeyKind::Witness, name).map(WitnessSigner)
    }

    /// The key that logs and verifiers of this witness pin.
    pub fn verifier_key(&self) -> VerifierKey {
        self.0.key.clone()
    }

    /// The line that says: at `time`, in seconds since 1970, this was the largest tree of this log that the witness had seen,
    /// and it continues all others that it had.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> Signature {
        self.0.cosign(&checkpoint.to_string(), time)
    }
}

/// A key pair and the name it signs under.
#[derive(Clone)]
struct NamedPair {
    /// Of type 0x04.
    key: VerifierKey,
    pair: KeyPair,
}

impl NamedPair {
    fn new(keyring: &Keyring, kind: KeyKind, name: &str) -> Result<Self, SignerError> {
        let pair = keyring.active_pair(kind)?;
        let key = VerifierKey::new(name, SignatureType::Cosignature, pair.public().clone());
        let key = key.map_err(|_: VerifierKeyError| SignerError::Name { name: name.to_owned() })?;
        Ok(Self { key, pair })
    }

    fn cosign(&self, text: &str, time: u64) -> Signature {
        let signature = self.pair.sign(cosigned(text, time).as_bytes());
        let bytes = [time.to_be_bytes().as_slice(), &signature].concat();
        Signature::new(self.key.name().to_owned(), self.key.id(), bytes)
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSigner({})", self.0.key)
    }
}

impl fmt::Debug for WitnessSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessSigner({})", self.0.key)
    }
}
