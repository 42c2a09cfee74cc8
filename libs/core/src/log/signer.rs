//! Signing of checkpoints by the log and by witnesses.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::event::is_origin;
use crate::log::checkpoint::Checkpoint;
use crate::log::note::{Note, Signature, SignatureType, VerifierKey, VerifierKeyError, cosignature_message};
use crate::seal::{KeyKind, Keyring, KeyringError};

/// Signs checkpoints with the active `log-` key of a keyring, under the origin as key name. Cloning does not copy the
/// secret.
#[derive(Clone, Debug)]
pub struct LogSigner(NamedPair);

/// Cosigns checkpoints with the active `witness-` key of a keyring. Cloning does not copy the secret.
#[derive(Clone, Debug)]
pub struct WitnessSigner(NamedPair);

/// Reasons why a signer cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The keyring has no active key of the kind, more than one, or not its secret.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The name is not a valid origin ([`is_origin`]) or key name ([`is_key_name`](crate::log::note::is_key_name)).
    #[error("{0:?} is not a valid key name")]
    Name(String),
}

impl LogSigner {
    /// Creates the signer of the log `origin`.
    pub fn new(keyring: &Keyring, origin: &str) -> Result<Self, SignerError> {
        if !is_origin(origin) {
            return Err(SignerError::Name(origin.to_owned()));
        }
        NamedPair::new(keyring, KeyKind::Log, origin).map(LogSigner)
    }

    /// Returns the key of type 0x01, which policies pin. The key of type 0x04 is derived from it.
    pub fn verifier_key(&self) -> VerifierKey {
        self.0.key.with_type(SignatureType::Ed25519)
    }

    /// Signs a checkpoint: returns the note with a line of type 0x01 and a line of type 0x04 dated `time`, in seconds
    /// since 1970. Signing the same checkpoint again with a later time makes a heartbeat.
    ///
    /// Returns `None` if the checkpoint is of another origin.
    pub fn sign(&self, checkpoint: &Checkpoint, time: u64) -> Option<Note> {
        if checkpoint.origin() != self.0.key.name() {
            return None;
        }
        let text = checkpoint.to_string();
        let signature = self.0.pair.sign(text.as_bytes()).as_ref().to_vec();
        let signatures = vec![Signature::new(&self.verifier_key(), signature), self.0.cosign(&text, time)];
        Some(Note::new(text, signatures).expect("the text of a checkpoint and two signature lines are a note"))
    }
}

impl WitnessSigner {
    /// Creates the signer of the witness `name`.
    pub fn new(keyring: &Keyring, name: &str) -> Result<Self, SignerError> {
        NamedPair::new(keyring, KeyKind::Witness, name).map(WitnessSigner)
    }

    /// Returns the key of type 0x04, which logs and verifiers pin.
    pub fn verifier_key(&self) -> VerifierKey {
        self.0.key.clone()
    }

    /// Cosigns a checkpoint at `time`, in seconds since 1970.
    ///
    /// The line states that at this time the tree was the largest of this log that the witness had seen, and that it
    /// continues all trees that the witness cosigned before. The caller has checked this.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> Signature {
        self.0.cosign(&checkpoint.to_string(), time)
    }
}

/// A key pair with the name under which it signs.
#[derive(Clone)]
struct NamedPair {
    /// The key of type 0x04.
    key: VerifierKey,
    pair: Arc<Ed25519KeyPair>,
}

impl NamedPair {
    fn new(keyring: &Keyring, kind: KeyKind, name: &str) -> Result<Self, SignerError> {
        let (public, pair) = keyring.active_pair(kind)?;
        let key = VerifierKey::new(name, SignatureType::Cosignature, public);
        let key = key.map_err(|_: VerifierKeyError| SignerError::Name(name.to_owned()))?;
        Ok(Self { key, pair: Arc::new(pair) })
    }

    fn cosign(&self, text: &str, time: u64) -> Signature {
        let signature = self.pair.sign(cosignature_message(text, time).as_bytes());
        Signature::new(&self.key, [time.to_be_bytes().as_slice(), signature.as_ref()].concat())
    }
}

impl fmt::Debug for NamedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.key, f)
    }
}
