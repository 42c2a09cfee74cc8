//! What a log asks of a witness, and what a witness answers (c2sp.org/tlog-witness, add-checkpoint).
//!
//! ```text
//! old 20852014
//! <the consistency proof from there, a hash in base64 a line>
//!
//! <the checkpoint, a signed note>
//! ```
//!
//! A witness keeps of each log the last tree that it cosigned. It reads a request, decides, stores the tree that it decided
//! for where the one that it decided from still stands, and only then signs and answers. The log adds the answer's lines to
//! its note by [`Note::cosigned`].

use std::fmt;

use crate::hash::Hash;
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::note::{Note, NoteError};
use crate::log::policy::Policy;
use crate::log::{MAX_SIZE, line, merkle};

/// The specification's bound on the lines of a proof.
const MAX_HASHES: usize = 63;

/// A log's request that a witness cosign a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpoint {
    old_size: u64,
    hashes: Vec<Hash>,
    note: Note,
    /// The note's text, read.
    checkpoint: Checkpoint,
}

/// The last tree of a log that a witness cosigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cosigned {
    /// Its leaves; 0 as long as the witness has cosigned none.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Why a witness does not cosign. Whatever it is, what the witness has stored stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request has not the form of one, or its checkpoint not that of one.
    #[error("it is no add-checkpoint request: {0}")]
    Malformed(&'static str),
    /// The witness does not know the log.
    #[error("no log of this origin is known here")]
    UnknownLog,
    /// No known key of the log has signed, or a known key's line is wrong.
    #[error("the checkpoint is not signed by its log")]
    Signature(#[from] CheckpointError),
    /// The old size is above the checkpoint's.
    #[error("the old size is above the checkpoint's")]
    Shrunk,
    /// The old size is not the one that the witness cosigned last.
    #[error("the last size cosigned here is {size}")]
    Conflict {
        /// That size.
        size: u64,
    },
    /// The proof does not hold: it is wrong, or the log has two histories, and the request is the evidence.
    #[error("the checkpoint does not continue the one cosigned last")]
    Inconsistent(#[from] merkle::ProofError),
}

/// The media type of the answer to a [`Refusal::Conflict`].
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

impl AddCheckpoint {
    /// Bytes of a request.
    pub const MAX_BYTES: usize = Note::MAX_BYTES + (1 << 12);

    /// The request that a log makes. Refused: more than 63 hashes, a note whose text is no checkpoint.
    pub fn new(old_size: u64, hashes: Vec<Hash>, note: Note) -> Result<Self, Refusal> {
        let checkpoint = note.text().parse();
        let checkpoint = checkpoint.map_err(|_: CheckpointError| Refusal::Malformed("its note is no checkpoint"))?;
        if hashes.len() > MAX_HASHES {
            return Err(Refusal::Malformed("its proof has more than 63 hashes"));
        }
        Ok(Self { old_size, hashes, note, checkpoint })
    }

    /// The request of this body. Refused: more than [`AddCheckpoint::MAX_BYTES`], an old size with a leading zero or above
    /// 2^53 − 1, more than 63 hashes or one that is not base64 of 32 bytes, what [`Note::parse`] refuses, a text that is no
    /// checkpoint.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = Refusal::Malformed;
        if body.len() > Self::MAX_BYTES {
            return Err(malformed("it is longer than 516 KiB"));
        }
        let body = str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
        let (old, rest) = line::split(body).ok_or(malformed("it has no lines"))?;
        let old_size = old.strip_prefix("old ").and_then(|size| line::decimal(size, MAX_SIZE));
        let old_size = old_size.ok_or(malformed("its first line is not old and a size up to 2^53 - 1"))?;
        let (hashes, note) = line::hashes(rest, MAX_HASHES).ok_or(malformed("its proof is not up to 63 hashes"))?;
        let note =
            Note::parse(note.as_bytes()).map_err(|_: NoteError| malformed("its checkpoint is no signed note"))?;
        Self::new(old_size, hashes, note)
    }

    /// The checkpoint as it was sent, with its lines; which of them are right, [`AddCheckpoint::decide`] looks.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The checkpoint; its origin says which log's last tree the witness has to look up.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether the witness cosigns: the tree to store in the place of `last`, before the checkpoint is signed. `policy` names
    /// the logs that the witness knows.
    ///
    /// The checks are made, and refused, in the specification's order.
    pub fn decide(&self, policy: &Policy, last: Cosigned) -> Result<Cosigned, Refusal> {
        let (origin, size, root) = (self.checkpoint.origin(), self.checkpoint.size(), self.checkpoint.root());
        if !policy.logs().iter().any(|log| log.key.name() == origin) {
            return Err(Refusal::UnknownLog);
        }
        policy.open(&self.note, origin)?;
        if self.old_size > size {
            return Err(Refusal::Shrunk);
        }
        if self.old_size != last.size {
            return Err(Refusal::Conflict { size: last.size });
        }
        // At size 0 too: there the last root is the empty tree's, and the new one has to be the same.
        merkle::verify_consistency(last.size, size, &self.hashes, &last.root, &root)?;
        Ok(Cosigned { size, root })
    }
}

/// The request's body.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        line::write_hashes(f, &self.hashes)?;
        write!(f, "{}", self.note)
    }
}

impl Cosigned {
    /// What a witness begins with: no tree of the log.
    pub fn nothing() -> Self {
        Self { size: 0, root: merkle::empty_root() }
    }
}

impl Refusal {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Shrunk => 400,
            Self::Signature(_) => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }
}

/// The body of the answer to a [`Refusal::Conflict`]: the size from which the log has to prove.
pub fn encode_size(size: u64) -> String {
    format!("{size}\n")
}

/// The size in such a body; `None` where it is none.
pub fn parse_size(body: &[u8]) -> Option<u64> {
    line::decimal(str::from_utf8(body).ok()?.strip_suffix('\n')?, MAX_SIZE)
}
