//! Checkpoints (c2sp.org/tlog-checkpoint): signed notes that state the size and the root of the tree.

use std::fmt;
use std::str::FromStr;

use crate::event::is_origin;
use crate::hash::Hash;
use crate::log::note::{Note, NoteError, SignatureType, VerifiedSignature, VerifierKey};
use crate::log::{MAX_SIZE, line};
use crate::seal::PublicKey;

/// How far ahead of the verifier's clock a cosignature may be dated, in seconds. A later one does not count.
pub const MAX_AHEAD_SECONDS: u64 = 300;

/// The size and root of a log's tree. Its text has three lines: origin, size in decimal, root in base64.
///
/// A value is within the limits of the format. It carries no signature: see [`SignedCheckpoint`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

/// A checkpoint with a valid signature of its log, and the verified signature lines of all known keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    /// In the order of the note.
    signatures: Vec<VerifiedSignature>,
    /// The pinned keys of the log.
    log_keys: Vec<PublicKey>,
}

/// A known key's dated signature of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cosignature<'c> {
    /// The key that signed.
    pub key: &'c VerifierKey,
    /// The time of signing, in seconds since 1970.
    pub time: u64,
    /// Whether the log itself signed. Such a cosignature is a trusted time, and does not count towards a quorum.
    pub by_log: bool,
}

/// Reasons why a note is not a valid checkpoint of the log. The verdict is CHECKPOINT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed, or a known key's signature line is invalid.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is not a checkpoint.
    #[error(
        "malformed checkpoint: expected an origin, a decimal size of at most 2^53 - 1 and a base64 root, one per line"
    )]
    Text,
    /// The checkpoint belongs to another log, with this origin.
    #[error("the checkpoint is of another origin, {0}")]
    OtherOrigin(String),
    /// No pinned key of the log made a signature line of type 0x01.
    #[error("no pinned key of the log signed the checkpoint")]
    Unsigned,
}

impl Checkpoint {
    /// Creates a checkpoint. Fails if `origin` is not a valid origin ([`is_origin`]) or `size` exceeds [`MAX_SIZE`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let fits = is_origin(origin) && size <= MAX_SIZE;
        fits.then(|| Self { origin: origin.to_owned(), size, root }).ok_or(CheckpointError::Text)
    }

    /// The origin, which is the name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves, at most [`MAX_SIZE`].
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over these leaves.
    pub fn root(&self) -> Hash {
        self.root
    }
}

impl SignedCheckpoint {
    /// Verifies a note as a checkpoint of the log `origin`. `known` are the pinned keys of the log and of witnesses.
    ///
    /// A key belongs to the log if its name is the origin and its type is 0x01.
    pub fn open(note: &Note, origin: &str, known: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let checkpoint: Checkpoint = note.text().parse()?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherOrigin(checkpoint.origin));
        }
        let signatures = note.verify(known)?;
        let of_log = |key: &&VerifierKey| key.name() == origin && key.signature_type() == SignatureType::Ed25519;
        if !signatures.iter().any(|signature| of_log(&&signature.key)) {
            return Err(CheckpointError::Unsigned);
        }
        let log_keys = known.iter().filter(of_log).map(|key| key.public().clone()).collect();
        Ok(Self { checkpoint, signatures, log_keys })
    }

    /// The checkpoint that was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Returns the dated signature lines, except those dated more than [`MAX_AHEAD_SECONDS`] after `now`, in seconds
    /// since 1970.
    ///
    /// A line is by the log if its key has the log's name or one of the log's public keys, under any name.
    pub fn cosignatures(&self, now: u64) -> impl Iterator<Item = Cosignature<'_>> {
        self.signatures.iter().filter_map(move |line| {
            let (key, time) = (&line.key, counting(line.time, now)?);
            let by_log = key.name() == self.checkpoint.origin || self.log_keys.contains(key.public());
            Some(Cosignature { key, time, by_log })
        })
    }

    /// Merges the signature lines of another note of the same checkpoint, such as a heartbeat. Keeps for each key the
    /// latest time that counts at `now`.
    pub(crate) fn merge(&mut self, other: &Self, now: u64) {
        for line in other.signatures.iter().filter(|line| counting(line.time, now).is_some()) {
            match self.signatures.iter_mut().find(|held| held.key == line.key) {
                Some(held) if counting(held.time, now) >= counting(line.time, now) => {}
                Some(held) => *held = line.clone(),
                None => self.signatures.push(line.clone()),
            }
        }
    }
}

/// Returns the time of a signature line if it counts at `now`.
fn counting(time: Option<u64>, now: u64) -> Option<u64> {
    time.filter(|time| *time <= now.saturating_add(MAX_AHEAD_SECONDS))
}

/// Writes the text of the note.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root } = self;
        write!(f, "{origin}\n{size}\n{}\n", line::base64(root.as_bytes()))
    }
}

/// Parses the text of a note. Accepts only the spelling that `Display` writes, without extension lines.
impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [origin, size, root, ""] = lines[..] else { return Err(CheckpointError::Text) };
        let size = line::decimal(size, MAX_SIZE).ok_or(CheckpointError::Text)?;
        Self::new(origin, size, line::hash(root).ok_or(CheckpointError::Text)?)
    }
}
