//! The checkpoint and the anchors: checks 1 to 3, 5 and 6 of notes and tiles
//! (`docs/spec/integrity.md#checks-of-notes-and-tiles`).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use crate::hash::Hash;
use crate::log::checkpoint::CheckpointError;
use crate::log::note::Note;
use crate::log::policy::Policy;
use crate::log::tile::Tiles;
use crate::verify::log::{CheckedLog, LeafSource, VerifiedNote, Vouched};
use crate::verify::trusted_times::{DatedTree, TrustedTimes};
use crate::verify::{LogFinding, TreeCheck, Verdict};

/// Checks the notes of a log against the pinned origin and policy.
///
/// Call [`Notes::checkpoint`] once and [`Notes::anchor`] for each available anchor, in any order. Then either check the
/// tiles ([`Notes::tree`], [`Notes::with_tree`]), or, if each record has a proof, call [`Notes::with_proofs`]. Memory
/// is about 60 bytes for each anchored size.
#[derive(Debug)]
pub struct Notes {
    policy: Policy,
    origin: String,
    now: u64,
    max_age: Option<u64>,
    /// The checkpoint of the database or bundle.
    checkpoint: Option<VerifiedNote>,
    /// The sizes and roots of the anchors, each with the trusted times on its notes, if there are any.
    anchors: BTreeMap<(u64, Hash), Option<DatedTree>>,
    /// The newest anchor, with the signature lines of all its notes.
    newest: Option<VerifiedNote>,
    findings: Vec<LogFinding>,
}

impl Notes {
    /// Starts the check. `now` is the verifier's clock in seconds since 1970. `max_age` is the maximum age in seconds
    /// of the newest trusted time on the newest anchor, or `None` if any age is accepted.
    pub fn new(policy: &Policy, origin: &str, now: u64, max_age: Option<u64>) -> Self {
        Self {
            policy: policy.clone(),
            origin: origin.to_owned(),
            now,
            max_age,
            checkpoint: None,
            anchors: BTreeMap::new(),
            newest: None,
            findings: Vec::new(),
        }
    }

    /// Takes the checkpoint that defines the tree. If it is refused, the newest anchor replaces it.
    pub fn checkpoint(&mut self, note: &[u8]) {
        self.checkpoint = self.open("checkpoint", note);
    }

    /// Takes the checkpoint of a bundle of plans, which is an anchor too.
    pub fn anchored_checkpoint(&mut self, note: &[u8]) {
        self.checkpoint(note);
        if let Some(checkpoint) = self.checkpoint.clone() {
            self.add_anchor(checkpoint);
        }
    }

    /// Takes an anchored note, which may be a heartbeat. `place` names it in findings, for example `anchors/3`.
    pub fn anchor(&mut self, place: &str, note: &[u8]) {
        if let Some(anchor) = self.open(place, note) {
            self.add_anchor(anchor);
        }
    }

    /// Returns the check of the tiles of the checkpoint's tree, or of the newest anchor's if the checkpoint was
    /// refused.
    pub fn tree(&self) -> TreeCheck {
        TreeCheck::new(self.reference().map(VerifiedNote::checkpoint))
    }

    /// Returns the checked log. `tree` is the finished check that [`Notes::tree`] returned.
    pub fn with_tree(mut self, tree: TreeCheck) -> CheckedLog {
        let (tiles, mut findings) = tree.finish();
        self.findings.append(&mut findings);
        // Without a valid note there is no tree to compare with. CHECKPOINT is reported already.
        let tiles = tiles.filter(|_| self.reference().is_some());
        self.finish(tiles.map_or(LeafSource::Unavailable, LeafSource::Tree))
    }

    /// Returns the checked log of a bundle of plans, which has no tiles, and a proof in each record.
    ///
    /// Without tiles it cannot be checked that the checkpoint continues the older anchors. Therefore it vouches only if
    /// the checkpoint is the newest anchor itself ([`Notes::anchored_checkpoint`]).
    pub fn with_proofs(self) -> CheckedLog {
        self.finish(LeafSource::EventProofs)
    }

    /// Check 1. Returns the note, or reports CHECKPOINT.
    fn open(&mut self, place: &str, note: &[u8]) -> Option<VerifiedNote> {
        let verified = Note::parse(note).map_err(CheckpointError::from).and_then(|note| {
            let signed = self.policy.open(&note, &self.origin)?;
            Ok(VerifiedNote { note, signed })
        });
        let report = |error: &CheckpointError| {
            self.findings.push(LogFinding::new(Verdict::Checkpoint, place, error.to_string()));
        };
        verified.inspect_err(report).ok()
    }

    fn add_anchor(&mut self, anchor: VerifiedNote) {
        let (key, dated) = (anchor.size_and_root(), anchor.dated(self.now));
        let known = self.anchors.entry(key).or_insert(dated);
        *known = match (*known, dated) {
            (Some(known), Some(dated)) => Some(known.merged(dated)),
            (known, dated) => known.or(dated),
        };
        match &mut self.newest {
            // Another note of the newest anchor, such as a heartbeat: all lines count together.
            Some(newest) if newest.size_and_root() == key => newest.signed.merge(&anchor.signed, self.now),
            Some(newest) if newest.size_and_root().0 >= key.0 => {}
            newest => *newest = Some(anchor),
        }
    }

    /// Returns the note that defines the tree: the checkpoint, or the newest anchor if the checkpoint was refused.
    fn reference(&self) -> Option<&VerifiedNote> {
        self.checkpoint.as_ref().or(self.newest.as_ref())
    }

    fn finish(mut self, leaves: LeafSource) -> CheckedLog {
        let mut dated = self.check_anchors(leaves.tiles());
        dated.extend(self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.dated(self.now)));
        let vouched = self.check_newest(&leaves);
        let anchored = self.newest.as_ref().map_or(0, |newest| newest.checkpoint().size());
        let reference = self.checkpoint.or(self.newest);
        let tree = reference.as_ref().filter(|_| leaves.tiles().is_some());
        let words = tree.map_or(0, |tree| tree.checkpoint().size().div_ceil(64));
        CheckedLog {
            policy: self.policy,
            origin: self.origin,
            reference,
            leaves,
            claimed: (0..words).map(|_| AtomicU64::new(0)).collect(),
            anchored,
            trusted_times: TrustedTimes::of(dated),
            vouched,
            findings: self.findings,
        }
    }

    /// Checks 2 and 3. Returns the anchors that the tree continues and that have a trusted time.
    fn check_anchors(&mut self, tiles: Option<&Tiles>) -> Vec<DatedTree> {
        let reference = self.reference().map(VerifiedNote::size_and_root);
        let size = reference.map_or(0, |(size, _)| size);
        let (mut dated, mut before) = (Vec::new(), None);
        for ((anchored, anchored_root), times) in &self.anchors {
            let place = || format!("size {anchored}");
            if before.replace(*anchored) == Some(*anchored) {
                let detail = "anchors of this size have different roots";
                self.findings.push(LogFinding::new(Verdict::SplitView, place(), detail));
            }
            // Without tiles, the root is known at the size of the checkpoint only.
            let expected = match tiles {
                Some(tiles) => tiles.root(*anchored),
                None => reference.filter(|_| *anchored == size).map(|(_, root)| root),
            };
            let fault = if *anchored > size {
                format!("the tree has only {size} leaves")
            } else if expected.is_some_and(|expected| expected != *anchored_root) {
                "the tree has another root at this size".to_owned()
            } else {
                dated.extend(*times);
                continue;
            };
            self.findings.push(LogFinding::new(Verdict::Inconsistent, place(), fault));
        }
        dated
    }

    /// Checks 5 and 6. Returns the range for which the newest anchor vouches, unless a finding invalidates it.
    fn check_newest(&mut self, leaves: &LeafSource) -> Option<Vouched> {
        let oldest = self.max_age.map(|max_age| self.now.saturating_sub(max_age));
        let Some(newest) = &self.newest else {
            if oldest.is_some() {
                self.findings.push(LogFinding::new(Verdict::Stale, "anchors", "there is no anchor"));
            }
            return None;
        };
        let size = newest.checkpoint().size();
        let place = format!("size {size}");
        let time = newest.signed.cosignatures(self.now).map(|by| by.time).max();
        if !self.policy.quorum(&newest.signed, self.now).reached {
            self.findings.push(LogFinding::new(Verdict::Quorum, &place, "the newest anchor lacks witnesses"));
        }
        let is_wrong = self.findings.iter().any(|finding| finding.place == place);
        if oldest.is_some_and(|oldest| time.is_none_or(|time| time < oldest)) {
            let detail = "the newest trusted time is too old, or there is no such time";
            self.findings.push(LogFinding::new(Verdict::Stale, &place, detail));
        }
        let is_reference = || self.reference().is_some_and(|reference| reference.checkpoint() == newest.checkpoint());
        let vouches = match leaves {
            LeafSource::Tree(_) => true,
            LeafSource::Unavailable => false,
            LeafSource::EventProofs => is_reference(),
        };
        Some(Vouched { log_index: size.checked_sub(1)?, time }).filter(|_| vouches && !is_wrong)
    }
}
