//! Checkpoints (c2sp.org/tlog-checkpoint): the note that says how large the tree is and what its root is.

use std::fmt;
use std::str::FromStr;

use crate::event::is_origin;
use crate::hash::Hash;
use crate::log::note::{Note, NoteError, SignatureType, Verified, VerifierKey};
use crate::log::{MAX_SIZE, line};
use crate::seal::PublicKey;

/// A cosignature may be dated so many seconds ahead of the verifier's clock; beyond that it does not count.
pub const MAX_AHEAD: u64 = 300;

/// What a log says of its tree: a note's text of three lines, origin, size in decimal, root in base64. It keeps the format's
/// limits; whether anybody signed it is another matter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

/// A checkpoint that its log signed, with all lines of known keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<Verified>,
    /// The log's keys among those that were pinned.
    own: Vec<PublicKey>,
}

/// When a known key says that it saw the checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cosignature<'c> {
    /// Whose.
    pub key: &'c VerifierKey,
    /// In seconds since 1970.
    pub time: u64,
    /// Whether it is the log's own: that one tells a time, and nothing towards a quorum.
    pub own: bool,
}

/// Why a note is no checkpoint of the log: the verdict CHECKPOINT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no note, or a known key's line on it is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text is not a checkpoint's.
    #[error("a checkpoint is three lines: an origin, a size of at most 2^53 - 1 in decimal, a root in base64")]
    Text,
    /// It is another log's.
    #[error("it is the checkpoint of {origin}")]
    OtherOrigin {
        /// That log's origin.
        origin: String,
    },
    /// None of its lines is of a pinned key of the log, of type 0x01.
    #[error("no known key of the log has signed it")]
    Unsigned,
}

impl Checkpoint {
    /// The checkpoint of these three; refused where the origin is none ([`is_origin`]) or the size is above [`MAX_SIZE`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let fits = is_origin(origin) && size <= MAX_SIZE;
        fits.then(|| Self { origin: origin.to_owned(), size, root }).ok_or(CheckpointError::Text)
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves, up to [`MAX_SIZE`].
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.root
    }
}

impl SignedCheckpoint {
    /// The checkpoint that the note is to who pins the log's `origin` and these keys, the log's and the witnesses'.
    ///
    /// A key of the log has the origin for its name and is of type 0x01. Refused, beside what [`Note::verify`] refuses: a text
    /// that is no checkpoint, another log's checkpoint, one without a line of a key of the log.
    pub fn open(note: &Note, origin: &str, known: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let checkpoint: Checkpoint = note.text().parse()?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherOrigin { origin: checkpoint.origin });
        }
        let signatures = note.verify(known)?;
        let of_log = |key: &&VerifierKey| key.name() == origin && key.signature_type() == SignatureType::Ed25519;
        if !signatures.iter().any(|signature| of_log(&&signature.key)) {
            return Err(CheckpointError::Unsigned);
        }
        let own = known.iter().filter(of_log).map(|key| key.public().clone()).collect();
        Ok(Self { checkpoint, signatures, own })
    }

    /// What was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The lines of known keys, in the note's order; all of them are right.
    pub fn signatures(&self) -> &[Verified] {
        &self.signatures
    }

    /// The lines that tell a time, but for those dated over [`MAX_AHEAD`] seconds after `now`, in seconds since 1970. The
    /// log's own are those of its name or of one of its key pairs, whatever name that stands under.
    pub fn cosignatures(&self, now: u64) -> impl Iterator<Item = Cosignature<'_>> {
        self.signatures.iter().filter_map(move |Verified { key, time }| {
            let time = time.filter(|time| *time <= now.saturating_add(MAX_AHEAD))?;
            let own = key.name() == self.checkpoint.origin || self.own.contains(key.public());
            Some(Cosignature { key, time, own })
        })
    }

    /// Adds what another note of the same checkpoint says, a heartbeat: of each key the latest time that counts at `now`.
    pub(crate) fn join(&mut self, other: &Self, now: u64) {
        let counting = |time: Option<u64>| time.filter(|time| *time <= now.saturating_add(MAX_AHEAD));
        for line in other.signatures.iter().filter(|line| counting(line.time).is_some()) {
            match self.signatures.iter_mut().find(|held| held.key == line.key) {
                Some(held) if counting(held.time) >= counting(line.time) => {}
                Some(held) => *held = line.clone(),
                None => self.signatures.push(line.clone()),
            }
        }
    }
}

/// The note's text.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root } = self;
        write!(f, "{origin}\n{size}\n{}\n", line::base64(root.as_bytes()))
    }
}

/// A note's text as a checkpoint: no other spelling than [`Checkpoint`]'s own, no extension lines.
impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Text)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Text);
        };
        let size = line::decimal(size, MAX_SIZE).ok_or(CheckpointError::Text)?;
        Self::new(origin, size, line::hash(root).ok_or(CheckpointError::Text)?)
    }
}
