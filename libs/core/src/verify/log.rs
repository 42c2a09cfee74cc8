//! The checked log, with which events are compared: its leaves, the anchored size and the trusted times.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::error_chain::error_chain;
use crate::event::Record;
use crate::hash::Hash;
use crate::log::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::log::merkle::{Node, leaf_hash};
use crate::log::note::Note;
use crate::log::policy::Policy;
use crate::log::proof::EventProof;
use crate::log::tile::Tiles;
use crate::timestamp::Timestamp;
use crate::verify::finding::Failure;
use crate::verify::trusted_times::{DatedTree, TrustedTimes};
use crate::verify::{LogFinding, Verdict};

/// A log whose notes and tiles were checked. The checks of all plans share it.
#[derive(Debug)]
pub struct CheckedLog {
    pub(super) policy: Policy,
    pub(super) origin: String,
    /// The checkpoint, or the newest anchor if the checkpoint was refused.
    pub(super) reference: Option<VerifiedNote>,
    pub(super) leaves: LeafSource,
    /// One bit for each leaf of the tree, starting with the lowest bit of the first word: whether a record claims the
    /// leaf. Empty if leaves are not compared with a tree.
    pub(super) claimed: Vec<AtomicU64>,
    pub(super) anchored: u64,
    pub(super) trusted_times: TrustedTimes,
    pub(super) vouched: Option<Vouched>,
    pub(super) findings: Vec<LogFinding>,
}

/// The source of the leaves with which events are compared.
#[derive(Debug)]
pub(super) enum LeafSource {
    /// The tree, whose tiles are all present and correct.
    Tree(Tiles),
    /// No source, because there is no checkpoint or a tile is wrong.
    Unavailable,
    /// The proof in each record of a bundle of plans.
    EventProofs,
}

/// A note that its log signed.
#[derive(Clone, Debug)]
pub(super) struct VerifiedNote {
    pub(super) note: Note,
    pub(super) signed: SignedCheckpoint,
}

/// The range for which the newest anchor vouches (`docs/spec/integrity.md#verify-vouched`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vouched {
    /// The last log index that the anchor covers.
    pub log_index: u64,
    /// The newest trusted time on the anchor, in seconds since 1970, if there is one.
    pub time: Option<u64>,
}

impl LeafSource {
    /// Returns the tiles of the tree, if leaves are compared with one.
    pub(super) fn tiles(&self) -> Option<&Tiles> {
        if let Self::Tree(tiles) = self { Some(tiles) } else { None }
    }
}

impl CheckedLog {
    /// Returns the number of leaves of the tree with which events are compared, or 0 if there is no valid note.
    pub fn size(&self) -> u64 {
        self.reference.as_ref().map_or(0, |note| note.checkpoint().size())
    }

    /// Returns the size of the newest anchor, which covers all log indexes below it, or 0 if there is no anchor.
    pub fn anchored(&self) -> u64 {
        self.anchored
    }

    /// Returns the range for which the newest anchor vouches. Returns `None` if there is no anchor, or if a finding
    /// about it or about the tree invalidates it.
    pub fn vouched(&self) -> Option<Vouched> {
        self.vouched
    }

    /// Returns the findings about notes and tiles. If one place has several, the one whose [`Verdict`] comes first
    /// counts.
    pub fn findings(&self) -> &[LogFinding] {
        &self.findings
    }

    /// Returns the earliest trusted time of a tree that contains this leaf, in seconds since 1970. Anchors that the
    /// tree does not continue are left out.
    pub fn first_seen(&self, index: u64) -> Option<u64> {
        self.trusted_times.first_with(index)
    }

    /// Returns the latest trusted time of a tree that does not contain this leaf, in seconds since 1970. Anchors that
    /// the tree does not continue are left out.
    pub fn last_unseen(&self, index: u64) -> Option<u64> {
        self.trusted_times.last_without(index)
    }

    /// Returns the signed checkpoint of the tree with which events are compared, if there is one.
    pub fn note(&self) -> Option<&Note> {
        self.reference.as_ref().map(|reference| &reference.note)
    }

    /// Returns whether events are compared with the leaves of a tree. Only then claims of leaves are recorded.
    pub fn is_tree(&self) -> bool {
        self.leaves.tiles().is_some()
    }

    /// Returns the hash of a leaf of the tree, if leaves are compared with one.
    pub(super) fn leaf_hash(&self, index: u64) -> Option<Hash> {
        self.leaves.tiles()?.hash(Node { level: 0, index })
    }

    /// Records that a record claims the leaf, whether or not the leaf is that of its event.
    pub fn claim(&self, index: u64) {
        if let Some(word) = self.claim_word(index) {
            word.fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
    }

    /// Returns whether a record of the plans checked so far claims the leaf.
    pub fn is_claimed(&self, index: u64) -> bool {
        self.claim_word(index).is_some_and(|word| word.load(Ordering::Relaxed) >> (index % 64) & 1 == 1)
    }

    /// Returns the log indexes that no record claims. Complete only after all plans were checked. Empty if leaves are
    /// not compared with a tree.
    pub fn unclaimed(&self) -> impl Iterator<Item = u64> {
        let size = if self.is_tree() { self.size() } else { 0 };
        (0..size).filter(|index| !self.is_claimed(*index))
    }

    /// Returns the claimed leaves as a bit set, starting with the lowest bit of the first word, for a verification that
    /// is resumed later. Empty if leaves are not compared with a tree.
    pub fn claims(&self) -> Vec<u64> {
        self.claimed.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Adds the claims that [`CheckedLog::claims`] returned for a log with the same checkpoint.
    pub fn restore_claims(&self, claims: &[u64]) {
        for (word, bits) in self.claimed.iter().zip(claims) {
            word.fetch_or(*bits, Ordering::Relaxed);
        }
    }

    /// Returns the word with the claim bit of a leaf, or `None` if there is no tree or the index is beyond it.
    fn claim_word(&self, index: u64) -> Option<&AtomicU64> {
        // A word number that does not fit into a usize is beyond the tree.
        self.claimed.get(usize::try_from(index / 64).ok()?)
    }

    /// Check 13 of a record with a log index: its proof, if there is one or has to be one, and the leaf at this index.
    pub(super) fn check_leaf(&self, record: &Record, index: u64, proof: Option<&str>) -> Result<(), Failure> {
        let leaf = record.leaf();
        if proof.is_some() || matches!(self.leaves, LeafSource::EventProofs) {
            self.check_proof(&leaf, index, proof.unwrap_or_default())?;
        }
        if self.is_tree() && self.leaf_hash(index) != Some(leaf_hash(&leaf)) {
            return Err((Verdict::LeafMismatch, "the leaf at the log index is another".to_owned()));
        }
        Ok(())
    }

    fn check_proof(&self, leaf: &[u8], index: u64, proof: &str) -> Result<(), Failure> {
        let failed = |detail: String| (Verdict::Proof, detail);
        if proof.is_empty() {
            return Err(failed("the record has no proof".to_owned()));
        }
        let proof = EventProof::parse(proof.as_bytes()).map_err(|error| failed(error_chain(&error)))?;
        if proof.index != index {
            return Err(failed("the proof is of another index".to_owned()));
        }
        let signed;
        let checkpoint = match &self.reference {
            // The signatures of this note were verified already.
            Some(reference) if proof.note == reference.note => reference.checkpoint(),
            reference => {
                signed = self.policy.open(&proof.note, &self.origin).map_err(|error| failed(error_chain(&error)))?;
                if reference.as_ref().is_some_and(|reference| reference.checkpoint() != signed.checkpoint()) {
                    return Err(failed("the proof is against another checkpoint".to_owned()));
                }
                signed.checkpoint()
            }
        };
        proof.check(leaf, checkpoint).map_err(|error| (error.verdict(), error_chain(&error)))
    }
}

impl VerifiedNote {
    /// Returns the checkpoint that the note states.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        self.signed.checkpoint()
    }

    /// Returns the size and the root of the tree.
    pub(super) fn size_and_root(&self) -> (u64, Hash) {
        (self.checkpoint().size(), self.checkpoint().root())
    }

    /// Returns the tree with the trusted times on the note, or `None` if the note has no trusted time. `now` is the
    /// verifier's clock in seconds since 1970.
    pub(super) fn dated(&self, now: u64) -> Option<DatedTree> {
        let times = || self.signed.cosignatures(now).map(|by| by.time);
        Some(DatedTree { size: self.checkpoint().size(), earliest: times().min()?, latest: times().max()? })
    }
}

impl Vouched {
    /// Returns the trusted time in RFC 3339 with whole seconds, or `None` if no time is trusted or it is after the year 9999.
    pub fn as_of(&self) -> Option<String> {
        let micros = i64::try_from(self.time?).ok()?.checked_mul(1_000_000)?;
        let time = Timestamp::from_micros(micros)?.to_string();
        time.strip_suffix(".000000Z").map(|seconds| format!("{seconds}Z"))
    }
}

impl Serialize for Vouched {
    /// Writes `{"log_index","time"}`. The time is in RFC 3339 with whole seconds, or null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({ "log_index": self.log_index, "time": self.as_of() }).serialize(serializer)
    }
}
