//! Requests of a log to a witness, and the decision of the witness (c2sp.org/tlog-witness, add-checkpoint).
//!
//! ```text
//! old 20852014
//! <the consistency proof from that size, one base64 hash per line>
//!
//! <the checkpoint, a signed note>
//! ```
//!
//! For each log, a witness remembers the last tree that it cosigned. It parses a request, decides
//! ([`AddCheckpoint::decide`]), replaces the remembered tree with the new one, and only then signs and responds. The
//! replacement has to be a compare-and-set against the tree on which the decision was based. The log adds the lines of
//! the response with [`Note::with_cosignatures`].

use std::fmt;

use crate::hash::Hash;
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::note::{Note, NoteError};
use crate::log::policy::Policy;
use crate::log::{MAX_SIZE, line, merkle};

/// The maximum number of hashes of a consistency proof, as tlog-witness defines it.
const MAX_HASHES: usize = 63;

/// A well-formed request to cosign a checkpoint. Its signatures and its proof are not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpoint {
    old_size: u64,
    hashes: Vec<Hash>,
    note: Note,
    /// The parsed text of the note.
    checkpoint: Checkpoint,
}

/// The last tree of a log that a witness cosigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CosignedTree {
    /// The number of leaves. It is 0 if the witness has cosigned no tree of the log yet.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

/// Reasons why a witness does not cosign. A refusal leaves the remembered tree unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request or its checkpoint is malformed.
    #[error("malformed add-checkpoint request: {0}")]
    Malformed(&'static str),
    /// The policy of the witness has no log with this origin.
    #[error("unknown log origin")]
    UnknownLog,
    /// No known key of the log signed the checkpoint, or the signature line of a known key is invalid.
    #[error("the checkpoint is not signed by its log")]
    Signature(#[from] CheckpointError),
    /// The old size exceeds the size of the checkpoint.
    #[error("the old size exceeds the size of the checkpoint")]
    Shrunk,
    /// The old size differs from the size that the witness cosigned last.
    #[error("the old size is not the size cosigned last, {size}")]
    Conflict {
        /// The size cosigned last.
        size: u64,
    },
    /// The consistency proof is invalid. Either the proof is wrong, or the log has two histories; in the latter case
    /// the request is evidence of it.
    #[error("the checkpoint is not consistent with the one cosigned last")]
    Inconsistent(#[from] merkle::ProofError),
}

/// The media type of the response to a [`Refusal::Conflict`].
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

impl AddCheckpoint {
    /// The maximum length of a request in bytes.
    pub const MAX_BYTES: usize = Note::MAX_BYTES + (1 << 12);

    /// Creates a request. Fails if there are more than 63 hashes or the text of the note is not a checkpoint.
    pub fn new(old_size: u64, hashes: Vec<Hash>, note: Note) -> Result<Self, Refusal> {
        let checkpoint = note.text().parse();
        let checkpoint = checkpoint.map_err(|_: CheckpointError| Refusal::Malformed("the note is not a checkpoint"))?;
        if hashes.len() > MAX_HASHES {
            return Err(Refusal::Malformed("the proof has more than 63 hashes"));
        }
        Ok(Self { old_size, hashes, note, checkpoint })
    }

    /// Parses the body of a request.
    ///
    /// Fails if it is longer than [`AddCheckpoint::MAX_BYTES`], has no decimal old size of at most 2^53 − 1, has more
    /// than 63 hashes or a malformed one, or if the note is not a well-formed checkpoint.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = Refusal::Malformed;
        if body.len() > Self::MAX_BYTES {
            return Err(malformed("longer than 516 KiB"));
        }
        let body = str::from_utf8(body).map_err(|_| malformed("not UTF-8"))?;
        let (old, rest) = body.split_once('\n').ok_or(malformed("no newline"))?;
        let old_size = old.strip_prefix("old ").and_then(|size| line::decimal(size, MAX_SIZE));
        let old_size =
            old_size.ok_or(malformed("the first line is not `old` and a decimal size of at most 2^53 - 1"))?;
        let (hashes, note) = line::hashes(rest, MAX_HASHES)
            .ok_or(malformed("the proof is not at most 63 lines of base64 of 32 bytes"))?;
        let note =
            Note::parse(note.as_bytes()).map_err(|_: NoteError| malformed("the checkpoint is not a signed note"))?;
        Self::new(old_size, hashes, note)
    }

    /// Returns the checkpoint with its signature lines as sent. They are not verified; [`AddCheckpoint::decide`] does
    /// that.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Returns the checkpoint. Its origin names the log whose last tree the witness has to look up.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Decides whether to cosign. `policy` names the known logs, and `last` is the tree that the witness cosigned last.
    ///
    /// Returns the tree that has to replace `last` in storage before the checkpoint is signed. The checks are made in
    /// the order of tlog-witness.
    pub fn decide(&self, policy: &Policy, last: CosignedTree) -> Result<CosignedTree, Refusal> {
        let (origin, size, root) = (self.checkpoint.origin(), self.checkpoint.size(), self.checkpoint.root());
        if !policy.logs().iter().any(|key| key.name() == origin) {
            return Err(Refusal::UnknownLog);
        }
        policy.open(&self.note, origin)?;
        if self.old_size > size {
            return Err(Refusal::Shrunk);
        }
        if self.old_size != last.size {
            return Err(Refusal::Conflict { size: last.size });
        }
        // This also covers size 0: the last root is then that of the empty tree, and a new tree of size 0 must have the
        // same.
        merkle::verify_consistency(last.size, size, &self.hashes, &last.root, &root)?;
        Ok(CosignedTree { size, root })
    }
}

/// Writes the body of the request.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        line::write_hashes(f, &self.hashes)?;
        write!(f, "{}", self.note)
    }
}

impl CosignedTree {
    /// Returns the empty tree, with which a witness starts for each log.
    pub fn empty() -> Self {
        Self { size: 0, root: merkle::empty_root() }
    }
}

impl Refusal {
    /// Returns the HTTP status code of the response.
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

/// Returns the body of the response to a [`Refusal::Conflict`]: the size that a consistency proof has to start from.
pub fn encode_size(size: u64) -> String {
    format!("{size}\n")
}

/// Parses the body that [`encode_size`] writes. Returns `None` if it is malformed.
pub fn parse_size(body: &[u8]) -> Option<u64> {
    line::decimal(str::from_utf8(body).ok()?.strip_suffix('\n')?, MAX_SIZE)
}
