//! Proofs of events (c2sp.org/tlog-proof): the leaf of an event, its log index, the hashes that lead to the root, and
//! the checkpoint with that root. A verifier that pins the key of the log needs nothing else.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <the leaf in base64>
//! index 1
//! <the sibling hashes in base64, from the leaf up, one per line>
//!
//! <the checkpoint, a signed note>
//! ```

use std::fmt;

use crate::hash::Hash;
use crate::log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::log::note::Note;
use crate::log::policy::Policy;
use crate::log::{MAX_SIZE, line, merkle};
use crate::verdict::Verdict;

const VERSION: &str = "c2sp.org/tlog-proof@v1";
/// The maximum number of hashes: the length of the longest path in a tree of 2^53 − 1 leaves.
const MAX_HASHES: usize = 53;
/// The maximum length of a leaf in bytes. Entry bundles have the same limit.
const MAX_LEAF_BYTES: usize = 65_535;

/// A well-formed proof of an event. It is not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventProof {
    /// The leaf: the header and the seal of the event, as [`crate::event::Leaf::encode`] writes them. For tlog-proof
    /// the `extra` line is unauthenticated application data; here it contains the leaf whose inclusion is proven.
    pub leaf: Vec<u8>,
    /// The log index of the leaf.
    pub index: u64,
    /// The sibling hashes, from the leaf up.
    pub hashes: Vec<Hash>,
    /// The checkpoint with the root that the hashes lead to.
    pub note: Note,
}

/// Reasons why a proof of an event is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventProofError {
    /// The bytes are not a well-formed proof.
    #[error("malformed proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint is malformed, or the log did not sign it.
    #[error("the checkpoint of the proof is refused")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the leaf to the root of the checkpoint.
    #[error("the proof does not show that its leaf is in the log")]
    Inclusion(#[from] merkle::ProofError),
    /// The proof is valid, but its leaf is not that of the event.
    #[error("the proof is of another leaf")]
    OtherLeaf,
}

impl EventProof {
    /// The maximum length of a proof in bytes.
    pub const MAX_BYTES: usize = Note::MAX_BYTES + (1 << 17);

    /// Parses a proof.
    ///
    /// # Errors
    /// If the proof is longer than [`EventProof::MAX_BYTES`] or has another version, if its `extra` line is not base64 of
    /// at most 65,535 bytes or its index not a decimal number of at most 2^53 − 1, if it has more than 53 hashes or a
    /// malformed one, or if the note is not a well-formed checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, EventProofError> {
        let malformed = EventProofError::Malformed;
        if bytes.len() > Self::MAX_BYTES {
            return Err(malformed("longer than 640 KiB"));
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))?;
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('\n'));
        let (extra, rest) = rest.and_then(|rest| rest.split_once('\n')).ok_or(malformed("not tlog-proof version 1"))?;
        let leaf = extra.strip_prefix("extra ").and_then(line::unbase64).filter(|leaf| leaf.len() <= MAX_LEAF_BYTES);
        let leaf = leaf.ok_or(malformed("no extra line with the leaf in base64"))?;
        let (index, rest) = rest.split_once('\n').ok_or(malformed("no index line"))?;
        let index = index.strip_prefix("index ").and_then(|index| line::decimal(index, MAX_SIZE));
        let index = index.ok_or(malformed("the index is not a decimal number of at most 2^53 - 1"))?;
        let (hashes, note) = line::hashes(rest, MAX_HASHES)
            .ok_or(malformed("the hashes are not at most 53 lines of base64 of 32 bytes"))?;
        let note = Note::parse(note.as_bytes()).map_err(CheckpointError::from)?;
        note.text().parse::<Checkpoint>()?;
        Ok(Self { leaf, index, hashes, note })
    }

    /// Verifies that the hashes lead from the proof's leaf to the root of `checkpoint`, and that this leaf equals
    /// `leaf`.
    ///
    /// The caller has to trust `checkpoint`. The note of the proof is ignored, so that a caller with many proofs against
    /// one checkpoint can verify the signatures of the checkpoint once.
    pub fn check(&self, leaf: &[u8], checkpoint: &Checkpoint) -> Result<(), EventProofError> {
        let (hash, root) = (merkle::leaf_hash(&self.leaf), checkpoint.root());
        merkle::verify_inclusion(&hash, self.index, checkpoint.size(), &self.hashes, &root)?;
        if self.leaf == leaf { Ok(()) } else { Err(EventProofError::OtherLeaf) }
    }

    /// Verifies with the keys of the policy that the log `origin` contains `leaf`. Returns the checkpoint of the proof;
    /// [`Policy::quorum`] returns which witnesses cosigned it.
    pub fn verify(&self, leaf: &[u8], policy: &Policy, origin: &str) -> Result<SignedCheckpoint, EventProofError> {
        let signed = policy.open(&self.note, origin)?;
        self.check(leaf, signed.checkpoint())?;
        Ok(signed)
    }
}

impl EventProofError {
    /// Returns the verdict on the event, PROOF or `LEAF_MISMATCH`.
    pub fn verdict(&self) -> Verdict {
        if matches!(self, Self::OtherLeaf) { Verdict::LeafMismatch } else { Verdict::Proof }
    }
}

/// Writes the text of the proof.
impl fmt::Display for EventProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}\nextra {}\nindex {}\n", line::base64(&self.leaf), self.index)?;
        line::write_hashes(f, &self.hashes)?;
        write!(f, "{}", self.note)
    }
}
