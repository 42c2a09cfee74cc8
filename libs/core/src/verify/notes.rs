//! The notes: the checkpoint and the anchors (INTEGRITY, Verifying, notes and tiles, checks 1 to 3, 5 and 6).

use std::collections::BTreeMap;

use crate::hash::Hash;
use crate::log::checkpoint::CheckpointError;
use crate::log::note::Note;
use crate::log::policy::Policy;
use crate::verify::log::{CheckedLog, Leaves, Vouched};
use crate::verify::opened::Opened;
use crate::verify::seen::{Dated, Seen};
use crate::verify::tree::CheckedTree;
use crate::verify::{LogFinding, TreeCheck, Verdict};

/// Checks the notes of a log, one after the other, by what is pinned: the policy, the origin, the time.
///
/// First [`Notes::checkpoint`] once and [`Notes::anchor`] for each anchor at hand, in any order. Then the tree: with its tiles
/// ([`Notes::tree`], [`Notes::with_tree`]), or without, where each event brings a proof ([`Notes::with_proofs`]). What is held
/// are some 60 bytes for each anchored size.
#[derive(Debug)]
pub struct Notes {
    policy: Policy,
    origin: String,
    now: u64,
    max_age: Option<u64>,
    /// The database's, or the bundle's.
    checkpoint: Option<Opened>,
    /// The anchors' sizes and roots, each with the earliest and the latest trusted time of a note that says them.
    anchors: BTreeMap<(u64, Hash), Option<(u64, u64)>>,
    newest: Option<Opened>,
    findings: Vec<LogFinding>,
}

impl Notes {
    /// `now` is the verifier's clock, in seconds since 1970. `max_age`, in seconds, is how old the newest anchor's newest
    /// trusted time may be; `None` where nobody asks, as of an older bundle.
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

    /// Takes the newest checkpoint, which says what the tree is. The newest anchor stands in for one that is refused.
    pub fn checkpoint(&mut self, note: &[u8]) {
        self.checkpoint = self.open("checkpoint", note);
    }

    /// Takes the checkpoint of a bundle of plans, which is an anchored one.
    pub fn anchored_checkpoint(&mut self, note: &[u8]) {
        self.checkpoint(note);
        if let Some(opened) = self.checkpoint.clone() {
            self.take_anchor(opened);
        }
    }

    /// Takes an anchored note, heartbeats too. `place` is what a finding calls it: `anchors/3`.
    pub fn anchor(&mut self, place: &str, note: &[u8]) {
        if let Some(opened) = self.open(place, note) {
            self.take_anchor(opened);
        }
    }

    /// The check of the tiles of the tree that is believed: the checkpoint's, or else the newest anchor's.
    pub fn tree(&self) -> TreeCheck {
        TreeCheck::new(self.believed().map(|opened| opened.signed.checkpoint()))
    }

    /// What the log comes to, with its tiles checked by what [`Notes::tree`] gave.
    pub fn with_tree(mut self, tree: TreeCheck) -> CheckedLog {
        let (tree, mut findings) = tree.finish();
        self.findings.append(&mut findings);
        // Without a checkpoint there is no tree to compare with, and CHECKPOINT was found.
        let tree = tree.filter(|_| self.believed().is_some());
        self.finish(tree.map_or(Leaves::NotCompared, Leaves::of))
    }

    /// What the log comes to where its tiles are not at hand, and each event proves its own leaf. That a checkpoint continues
    /// the anchors before it cannot be told here: it vouches for something only if it is the newest anchor itself
    /// ([`Notes::anchored_checkpoint`]).
    pub fn with_proofs(self) -> CheckedLog {
        self.finish(Leaves::Proven)
    }

    fn open(&mut self, place: &str, note: &[u8]) -> Option<Opened> {
        let opened = Note::parse(note).map_err(CheckpointError::from).and_then(|note| {
            let signed = self.policy.open(&note, &self.origin)?;
            Ok(Opened { note, signed })
        });
        opened.map_err(|error| self.findings.push(LogFinding::new(Verdict::Checkpoint, place, error.to_string()))).ok()
    }

    fn take_anchor(&mut self, opened: Opened) {
        let times = opened.times(self.now);
        let key = opened.size_and_root();
        let seen = self.anchors.entry(key).or_insert(times);
        *seen = match (*seen, times) {
            (Some((first, last)), Some((earliest, latest))) => Some((first.min(earliest), last.max(latest))),
            (seen, times) => seen.or(times),
        };
        match &mut self.newest {
            // A heartbeat: the same text with newer lines.
            Some(newest) if newest.size_and_root() == key => newest.signed.merge(&opened.signed, self.now),
            Some(newest) if newest.size_and_root().0 >= key.0 => {}
            newest => *newest = Some(opened),
        }
    }

    fn believed(&self) -> Option<&Opened> {
        self.checkpoint.as_ref().or(self.newest.as_ref())
    }

    fn finish(mut self, leaves: Leaves) -> CheckedLog {
        let mut times = self.check_anchors(leaves.tree());
        times.extend(
            self.checkpoint.as_ref().and_then(|opened| dated(opened.size_and_root().0, opened.times(self.now))),
        );
        let vouched = self.check_newest(&leaves);
        let anchored = self.newest.as_ref().map_or(0, |newest| newest.size_and_root().0);
        CheckedLog {
            policy: self.policy,
            origin: self.origin,
            believed: self.checkpoint.or(self.newest),
            leaves,
            anchored,
            seen: Seen::of(&times),
            vouched,
            findings: self.findings,
        }
    }

    /// Checks 2 and 3; gives the times of the anchors that the tree continues, with the sizes that they are over.
    fn check_anchors(&mut self, tree: Option<&CheckedTree>) -> Vec<Dated> {
        let (size, root) = self.believed().map_or((0, None), |opened| {
            let (size, root) = opened.size_and_root();
            (size, Some(root))
        });
        let (mut times, mut before) = (Vec::new(), None);
        for ((anchored, anchored_root), seen) in &self.anchors {
            let place = || format!("size {anchored}");
            if before.replace(*anchored) == Some(*anchored) {
                let detail = "two anchors of this size have two roots";
                self.findings.push(LogFinding::new(Verdict::SplitView, place(), detail));
            }
            let had = tree.map_or(root.filter(|_| *anchored == size), |tree| tree.root(*anchored));
            if *anchored > size {
                let detail = format!("the tree has no more than {size} leaves");
                self.findings.push(LogFinding::new(Verdict::Inconsistent, place(), detail));
            } else if had.is_some_and(|had| had != *anchored_root) {
                let detail = "the tree had another root at this size";
                self.findings.push(LogFinding::new(Verdict::Inconsistent, place(), detail));
            } else {
                times.extend(dated(*anchored, *seen));
            }
        }
        times
    }

    /// Checks 5 and 6; gives what the newest anchor vouches for, if nothing is wrong with it and the tree.
    fn check_newest(&mut self, leaves: &Leaves) -> Option<Vouched> {
        let oldest = self.max_age.map(|max_age| self.now.saturating_sub(max_age));
        let Some(newest) = &self.newest else {
            if oldest.is_some() {
                self.findings.push(LogFinding::new(Verdict::Stale, "anchors", "there is no anchor"));
            }
            return None;
        };
        let size = newest.size_and_root().0;
        let place = format!("size {size}");
        let time = newest.signed.cosignatures(self.now).map(|by| by.time).max();
        if !self.policy.quorum(&newest.signed, self.now).reached {
            self.findings.push(LogFinding::new(Verdict::Quorum, &place, "the newest anchor lacks witnesses"));
        }
        let is_wrong = self.findings.iter().any(|finding| finding.place == place);
        if oldest.is_some_and(|oldest| time.is_none_or(|time| time < oldest)) {
            self.findings.push(LogFinding::new(
                Verdict::Stale,
                &place,
                "its newest trusted time is too old, or there is none",
            ));
        }
        let is_believed = || self.believed().is_some_and(|believed| believed.checkpoint() == newest.checkpoint());
        let vouches = match leaves {
            Leaves::Tree { .. } => !is_wrong,
            Leaves::NotCompared => false,
            Leaves::Proven => !is_wrong && is_believed(),
        };
        Some(Vouched { log_index: size.checked_sub(1)?, time }).filter(|_| vouches)
    }
}

fn dated(size: u64, times: Option<(u64, u64)>) -> Option<Dated> {
    times.map(|(earliest, latest)| Dated { size, earliest, latest })
}
