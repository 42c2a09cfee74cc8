//! What the checked log says of events: which leaf stands where, what is anchored, and when it was seen.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::event::Record;
use crate::log::merkle::leaf_hash;
use crate::log::note::Note;
use crate::log::policy::Policy;
use crate::log::proof::EventProof;
use crate::timestamp::Timestamp;
use crate::verify::opened::Opened;
use crate::verify::seen::Seen;
use crate::verify::tree::CheckedTree;
use crate::verify::{LogFinding, Verdict};

/// A log whose notes and tiles were checked: what events are then compared with, of many plans at once.
#[derive(Debug)]
pub struct CheckedLog {
    pub(super) policy: Policy,
    pub(super) origin: String,
    pub(super) believed: Option<Opened>,
    pub(super) leaves: Leaves,
    pub(super) anchored: u64,
    pub(super) seen: Seen,
    pub(super) vouched: Option<Vouched>,
    pub(super) findings: Vec<LogFinding>,
}

/// What an event's leaf is compared with.
#[derive(Debug)]
pub(super) enum Leaves {
    /// The tree.
    Tree {
        tree: CheckedTree,
        /// A bit for each leaf, from the lowest: whether a record claims it.
        claimed: Vec<AtomicU64>,
    },
    /// Nothing: there is no checkpoint, or a tile is wrong.
    NotCompared,
    /// The event's own proof.
    Proven,
}

/// Up to where, and as of when, the newest anchor vouches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vouched {
    /// The last log index that it covers.
    pub log_index: u64,
    /// The newest trusted time on it, in seconds since 1970; `None` where no trusted key says one.
    pub time: Option<u64>,
}

impl Leaves {
    pub(super) fn of(tree: CheckedTree) -> Self {
        // A tree that was checked has as many leaves as were in memory.
        let words = usize::try_from(tree.size().div_ceil(64)).unwrap_or(usize::MAX);
        Self::Tree { tree, claimed: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn tree(&self) -> Option<&CheckedTree> {
        match self {
            Self::Tree { tree, .. } => Some(tree),
            Self::NotCompared | Self::Proven => None,
        }
    }
}

impl CheckedLog {
    /// The number of leaves of the tree that is believed; 0 where there is no checkpoint.
    pub fn size(&self) -> u64 {
        self.believed.as_ref().map_or(0, |opened| opened.checkpoint().size())
    }

    /// The size of the newest anchor, which covers all indexes below it; 0 where there is none.
    pub fn anchored(&self) -> u64 {
        self.anchored
    }

    /// What the newest anchor vouches for; `None` where there is none, or something is wrong with it or with the tree.
    pub fn vouched(&self) -> Option<Vouched> {
        self.vouched
    }

    /// What is wrong with notes and tiles. Of one place, the first by [`Verdict`] counts.
    pub fn findings(&self) -> &[LogFinding] {
        &self.findings
    }

    /// When a trusted key first says that it saw a tree with this leaf, in seconds since 1970. Anchors that the tree does not
    /// continue say nothing of its leaves.
    pub fn first_seen(&self, index: u64) -> Option<u64> {
        self.seen.first_with(index)
    }

    /// When a trusted key last says that it saw the tree without this leaf, likewise.
    pub fn last_unseen(&self, index: u64) -> Option<u64> {
        self.seen.last_without(index)
    }

    /// The leaves that no record of the plans checked so far claims; none where leaves are not compared. It says something
    /// once all plans of the log were checked.
    pub fn unclaimed(&self) -> impl Iterator<Item = u64> {
        let (size, claimed) = match &self.leaves {
            Leaves::Tree { tree, claimed } => (tree.size(), claimed.as_slice()),
            Leaves::NotCompared | Leaves::Proven => (0, [].as_slice()),
        };
        let words = claimed.iter().map(|word| !word.load(Ordering::Relaxed));
        let open = (0..).step_by(64).zip(words).filter(|(_, open)| *open != 0);
        let leaves =
            open.flat_map(|(first, open)| (0..64).filter(move |bit| open >> bit & 1 == 1).map(move |bit| first + bit));
        leaves.take_while(move |index| *index < size)
    }

    /// Whether records are compared with the leaves of a tree; otherwise nothing is known of what is claimed.
    pub fn is_tree(&self) -> bool {
        self.leaves.tree().is_some()
    }

    /// Whether a record of the plans checked so far claims the leaf.
    pub fn is_claimed(&self, index: u64) -> bool {
        let Leaves::Tree { claimed, .. } = &self.leaves else { return false };
        let word = usize::try_from(index / 64).ok().and_then(|at| claimed.get(at));
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (index % 64) & 1 == 1)
    }

    /// Which leaves are claimed, a bit for each, from the lowest of the first word: to be put aside by a verification that is
    /// to go on later. Empty where leaves are not compared.
    pub fn claims(&self) -> Vec<u64> {
        let Leaves::Tree { claimed, .. } = &self.leaves else { return Vec::new() };
        claimed.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Takes up what [`CheckedLog::claims`] gave of the log of the same checkpoint.
    pub fn claim_again(&self, claims: &[u64]) {
        let Leaves::Tree { claimed, .. } = &self.leaves else { return };
        for (word, bits) in claimed.iter().zip(claims) {
            word.fetch_or(*bits, Ordering::Relaxed);
        }
    }

    /// The checkpoint whose tree the records are compared with, as it was signed; `None` where there is none.
    pub fn note(&self) -> Option<&Note> {
        self.believed.as_ref().map(|opened| &opened.note)
    }

    /// Notes that a record claims the leaf, rightly or not.
    pub fn claim(&self, index: u64) {
        if let Leaves::Tree { claimed, .. } = &self.leaves
            && let Some(word) = usize::try_from(index / 64).ok().and_then(|at| claimed.get(at))
        {
            word.fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
    }

    /// Check 13, of a record that says it has this leaf.
    pub(super) fn check_leaf(&self, record: &Record, index: u64, proof: Option<&str>) -> Result<(), (Verdict, String)> {
        let leaf = record.leaf();
        match (&self.leaves, proof) {
            (Leaves::Proven, proof) => self.check_proof(&leaf, index, proof.unwrap_or_default())?,
            (_, Some(proof)) => self.check_proof(&leaf, index, proof)?,
            (_, None) => {}
        }
        match &self.leaves {
            Leaves::Tree { tree, .. } if tree.leaf_hash(index) != Some(leaf_hash(&leaf)) => {
                Err((Verdict::LeafMismatch, "the leaf at its index is another".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn check_proof(&self, leaf: &[u8], index: u64, proof: &str) -> Result<(), (Verdict, String)> {
        let failed = |detail: String| (Verdict::Proof, detail);
        if proof.is_empty() {
            return Err(failed("it has no proof".to_owned()));
        }
        let proof = EventProof::parse(proof.as_bytes()).map_err(|error| failed(error.to_string()))?;
        if proof.index != index {
            return Err(failed("it is the proof of another index".to_owned()));
        }
        let opened;
        let checkpoint = match &self.believed {
            // The very note was opened already.
            Some(believed) if proof.note == believed.note => believed.checkpoint(),
            believed => {
                opened = self.policy.open(&proof.note, &self.origin).map_err(|error| failed(error.to_string()))?;
                if believed.as_ref().is_some_and(|believed| believed.checkpoint() != opened.checkpoint()) {
                    return Err(failed("it is against another checkpoint".to_owned()));
                }
                opened.checkpoint()
            }
        };
        proof.check(leaf, checkpoint).map_err(|error| (error.verdict(), error.to_string()))
    }
}

impl Vouched {
    /// The trusted time in RFC 3339, whole seconds; `None` where there is none.
    pub fn as_of(&self) -> Option<String> {
        self.time.and_then(whole_seconds)
    }
}

impl Serialize for Vouched {
    /// `{"log_index","time"}`; the time in RFC 3339, whole seconds, or null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut vouched = serializer.serialize_struct("Vouched", 2)?;
        vouched.serialize_field("log_index", &self.log_index)?;
        vouched.serialize_field("time", &self.as_of())?;
        vouched.end()
    }
}

fn whole_seconds(time: u64) -> Option<String> {
    let time = Timestamp::from_micros(i64::try_from(time).ok()?.checked_mul(1_000_000)?)?.to_string();
    time.strip_suffix(".000000Z").map(|seconds| format!("{seconds}Z"))
}
