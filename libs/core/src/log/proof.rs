//! The proof of an event (c2sp.org/tlog-proof): its leaf, its index, the way up to the root, and the checkpoint with that root.
//! Who has it and pins the log's key needs nothing else.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <the leaf in base64>
//! index 1
//! <a hash in base64, from the leaf's sibling up; a line each>
//!
//! <the checkpoint, a signed note>
//! ```

use std::fmt;

use crate::hash::Hash;
use crate::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::log::note::Note;
use crate::log::policy::Policy;
use crate::log::{MAX_SIZE, line, merkle};
use crate::verify::Verdict;

const VERSION: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^53 − 1 leaves has no longer way to its root.
const MAX_HASHES: usize = 53;
/// Bytes of a leaf, as an entry bundle holds it.
const MAX_LEAF: usize = 65_535;

/// An event's proof as it was read or made. Nothing here says that it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventProof {
    /// The leaf: an event's header and seal, as [`crate::event::Leaf::encode`] gives them. The format holds it to be the
    /// application's own and unproven; here it is the very thing that is proven.
    pub leaf: Vec<u8>,
    /// The leaf's place in the log.
    pub index: u64,
    /// The siblings, from the leaf's up.
    pub hashes: Vec<Hash>,
    /// The checkpoint that the way leads to.
    pub note: Note,
}

/// Why an event's proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventProofError {
    /// It has not the form of a proof.
    #[error("it is no proof of an event: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is no note, or not one that the verifier's log signed.
    #[error("its checkpoint is refused")]
    Checkpoint(#[from] CheckpointError),
    /// Its way does not lead from its leaf to the checkpoint's root.
    #[error("its leaf is not in the log at its index")]
    Inclusion(#[from] merkle::ProofError),
    /// It holds, and is of another leaf than the event's.
    #[error("it is the proof of another leaf")]
    OtherLeaf,
}

impl EventProof {
    /// Bytes of a proof.
    pub const MAX_BYTES: usize = Note::MAX_BYTES + (1 << 17);

    /// The proof of this text. Refused: more than [`EventProof::MAX_BYTES`], another version, no extra line or one that is not
    /// base64 of up to 65,535 bytes, an index with a leading zero or above 2^53 − 1, more than 53 hashes or one that is not base64
    /// of 32 bytes, what [`Note::parse`] refuses, a text that is no checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, EventProofError> {
        let malformed = EventProofError::Malformed;
        if bytes.len() > Self::MAX_BYTES {
            return Err(malformed("it is longer than 640 KiB"));
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('\n'));
        let (extra, rest) = rest.and_then(line::split).ok_or(malformed("it is not of version 1"))?;
        let leaf = extra.strip_prefix("extra ").and_then(line::unbase64).filter(|leaf| leaf.len() <= MAX_LEAF);
        let leaf = leaf.ok_or(malformed("its extra line is not the leaf in base64"))?;
        let (index, rest) = line::split(rest).ok_or(malformed("it ends before its index"))?;
        let index = index.strip_prefix("index ").and_then(|index| line::decimal(index, MAX_SIZE));
        let index = index.ok_or(malformed("its index is not a number up to 2^53 - 1"))?;
        let (hashes, note) = line::hashes(rest, MAX_HASHES).ok_or(malformed("a line is no hash in base64"))?;
        let note = Note::parse(note.as_bytes()).map_err(CheckpointError::from)?;
        note.text().parse::<Checkpoint>()?;
        Ok(Self { leaf, index, hashes, note })
    }

    /// Whether it leads from its leaf to the root of this checkpoint, which the caller trusts, and its leaf is the event's.
    ///
    /// The proof's own note is not looked at: where many proofs stand against one checkpoint, that is opened once.
    pub fn check(&self, leaf: &[u8], checkpoint: &Checkpoint) -> Result<(), EventProofError> {
        let (hash, root) = (merkle::leaf_hash(&self.leaf), checkpoint.root());
        merkle::verify_inclusion(&hash, self.index, checkpoint.size(), &self.hashes, &root)?;
        if self.leaf == leaf { Ok(()) } else { Err(EventProofError::OtherLeaf) }
    }

    /// Whether the log of this origin holds the leaf, by what the policy pins. How many witnesses have seen the checkpoint,
    /// the policy says of what comes back.
    pub fn verify(&self, leaf: &[u8], policy: &Policy, origin: &str) -> Result<SignedCheckpoint, EventProofError> {
        let signed = policy.open(&self.note, origin)?;
        self.check(leaf, signed.checkpoint())?;
        Ok(signed)
    }
}

impl EventProofError {
    /// The verdict on the event: PROOF or `LEAF_MISMATCH`.
    pub fn verdict(&self) -> Verdict {
        if matches!(self, Self::OtherLeaf) { Verdict::LeafMismatch } else { Verdict::Proof }
    }
}

/// The proof's text.
impl fmt::Display for EventProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}\nextra {}\nindex {}\n", line::base64(&self.leaf), self.index)?;
        line::write_hashes(f, &self.hashes)?;
        write!(f, "{}", self.note)
    }
}
