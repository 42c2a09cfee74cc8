//! One plan's chain, record by record.

use std::mem;

use crate::event::{MAX_SEQ, Record};
use crate::hash::Hash;
use crate::verify::checks::{Before, Checks, Failed, Older};
use crate::verify::{CheckedLog, Evidence, Finding, Owed, Trust, Verdict};

/// Of a hole, so many places are named one by one; the last finding says how far it goes on. A renumbered row could otherwise
/// make 2^53 of them.
const MAX_GAP_FINDINGS: u64 = 1000;

/// Checks one plan's records as they are read in order of seq. No other plan is needed for it, so that many can be checked at
/// once; memory does not grow with the plan, but for findings.
///
/// Of each place in the plan the first check that fails is the one finding. A place's finding is given once the next record,
/// or the end, has shown that no second record shares the place; that of an event without a leaf, once a later one has a leaf,
/// or the end has shown that none has.
///
/// Without a log ([`ChainCheck::against`]) checks 1 to 12 are made, and the first half of 15.
#[derive(Debug)]
pub struct ChainCheck<'t> {
    trust: &'t Trust,
    log: Option<&'t CheckedLog>,
    owed: Option<&'t Owed>,
    tenant: String,
    plan: String,
    before: Option<Before>,
    /// What was found of the record before.
    held: Option<Held>,
    /// What was found of events that have no leaf, while no later one has: nothing worse than that no anchor covers them.
    unsealed: Vec<Finding>,
    summary: ChainSummary,
}

/// A finding that what follows can still change.
#[derive(Debug)]
struct Held {
    finding: Finding,
    /// Whether it becomes UNSEALED if a later event of the plan has a leaf.
    waits: bool,
}

/// What checking a plan came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChainSummary {
    /// Records read.
    pub events: u64,
    /// Those of them that have a leaf in the log.
    pub sealed: u64,
    /// MACs and older signatures that were passed over because their secret is not here.
    pub unchecked: u64,
    /// The last record's seq and event hash, as stored.
    pub head: Option<(u64, Hash)>,
    /// The findings that [`ChainCheck::next`] had not given yet.
    pub findings: Vec<Finding>,
}

impl<'t> ChainCheck<'t> {
    /// Begins with the plan's first record.
    pub fn new(trust: &'t Trust, tenant: &str, plan: &str) -> Self {
        ChainCheck {
            trust,
            log: None,
            owed: None,
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            before: None,
            held: None,
            unsealed: Vec::new(),
            summary: ChainSummary::default(),
        }
    }

    /// Compares the records with this log too (checks 13 to 20). What is in the ledger's log but beyond the checkpoint, since
    /// sealing goes on, is handed in without its log index: nothing vouches for it yet.
    #[must_use]
    pub fn against(self, log: &'t CheckedLog) -> Self {
        ChainCheck { log: Some(log), ..self }
    }

    /// Notes which of these events are found (check 18).
    #[must_use]
    pub fn owing(self, owed: &'t Owed) -> Self {
        ChainCheck { owed: Some(owed), ..self }
    }

    /// Begins behind a record that was verified before, instead of at the plan's first: what is checked here of it is only that
    /// it is still the one at its place in the log. Its hash is then what the next record has to name.
    pub fn begin_behind(&mut self, record: &Record) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.note(record.header.seq, Some(record.event_hash), record.log_index, &mut findings);
        self.summary = ChainSummary { head: Some((record.header.seq, record.event_hash)), ..ChainSummary::default() };
        let same = record.header.hash() == record.event_hash;
        let failed = match (self.log, record.log_index) {
            _ if !same => Some((Verdict::EventHash, "the fields do not hash to the event hash".to_owned())),
            (Some(log), Some(index)) => log.check_leaf(record, index, None).err(),
            _ => None,
        };
        self.advance(Before::of(record));
        self.hold(record.header.seq, failed, false);
        findings
    }

    /// Takes the next record and gives what is certain by now: findings of places before it. Records come in order of seq; one
    /// that comes later than its place is a FORK of it.
    pub fn next(&mut self, record: &Record) -> Vec<Finding> {
        self.next_with(record, &Evidence::default())
    }

    /// As [`ChainCheck::next`], with what there is beside the record.
    pub fn next_with(&mut self, record: &Record, evidence: &Evidence<'_>) -> Vec<Finding> {
        let (seq, mut findings) = (record.header.seq, Vec::new());
        let takes_place = self.takes_place(seq, &mut findings);
        self.note(seq, Some(record.event_hash), record.log_index, &mut findings);
        if takes_place {
            let (failed, waits) = self.check(record, evidence);
            self.advance(Before::of(record));
            self.hold(seq, failed, waits);
        }
        findings
    }

    /// Takes a stored row that is no [`Record`], since a column holds what its type cannot: its place gets FORMAT. The event
    /// hash and the log index are the stored ones, where they are such.
    pub fn next_malformed(
        &mut self,
        seq: u64,
        event_hash: Option<Hash>,
        log_index: Option<u64>,
        detail: &str,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let takes_place = self.takes_place(seq, &mut findings);
        self.note(seq, event_hash, log_index, &mut findings);
        if takes_place {
            self.advance(Before { seq, event_hash, suite: None, recorded: None, older: Older::Unknown, log_index });
            self.hold(seq, Some((Verdict::Format, detail.to_owned())), false);
        }
        findings
    }

    /// The end of the plan.
    pub fn finish(mut self) -> ChainSummary {
        self.summary.findings = self.unsealed;
        self.summary.findings.extend(self.held.map(|held| held.finding));
        self.summary
    }

    /// Whether a record of this seq takes the next place, or one behind a hole: then the findings of what lies before are
    /// given. Otherwise what is wrong with it is held or given here.
    fn takes_place(&mut self, seq: u64, findings: &mut Vec<Finding>) -> bool {
        self.summary.events += 1;
        let last = self.before.as_ref().map(|before| before.seq);
        if last == Some(seq) {
            self.hold(seq, Some((Verdict::Fork, "a second record stands at this place".to_owned())), false);
            return false;
        }
        if !(1..=MAX_SEQ).contains(&seq) {
            findings.push(self.finding(seq, Verdict::Format, "seq is 1 to 2^53 - 1".to_owned()));
            return false;
        }
        if last.is_some_and(|last| seq < last) {
            findings.push(self.finding(
                seq,
                Verdict::Fork,
                "a record of an earlier place follows later ones".to_owned(),
            ));
            return false;
        }
        match self.held.take() {
            Some(Held { finding, waits: true }) => self.unsealed.push(finding),
            held => findings.extend(held.map(|held| held.finding)),
        }
        let verdict = if last.is_some() { Verdict::SeqGap } else { Verdict::Genesis };
        let first = last.map_or(1, |last| last + 1);
        for missing in first..seq.min(first.saturating_add(MAX_GAP_FINDINGS)) {
            let more = seq - 1 - missing;
            let detail = if missing + 1 == first + MAX_GAP_FINDINGS && more > 0 {
                format!("no record stands at this place, nor at the {more} behind it")
            } else {
                "no record stands at this place".to_owned()
            };
            findings.push(self.finding(missing, verdict, detail));
        }
        true
    }

    /// Notes what any row tells, whether or not it takes a place: that an event hash is there, that a leaf is claimed, and
    /// that the events before it should have leaves.
    fn note(&mut self, seq: u64, event_hash: Option<Hash>, log_index: Option<u64>, findings: &mut Vec<Finding>) {
        if let (Some(owed), Some(event_hash)) = (self.owed, event_hash) {
            owed.found(&event_hash);
        }
        let Some(index) = log_index else { return };
        self.summary.sealed += 1;
        self.log.inspect(|log| log.claim(index));
        let waiting = mem::take(&mut self.unsealed).into_iter();
        let (before, after): (Vec<_>, _) = waiting.partition(|finding| finding.seq < seq);
        self.unsealed = after;
        findings.extend(before.into_iter().map(|finding| Finding {
            verdict: Verdict::Unsealed,
            detail: "it has no leaf, though a later event of its plan has one".to_owned(),
            ..finding
        }));
    }

    /// The first check that fails, and whether that is UNSEALED instead if a later event has a leaf.
    fn check(&mut self, record: &Record, evidence: &Evidence<'_>) -> (Option<Failed>, bool) {
        let checks = Checks {
            trust: self.trust,
            log: self.log,
            tenant: &self.tenant,
            plan: &self.plan,
            before: self.before.as_ref(),
            record,
        };
        if let Err(failed) = checks.chain(&mut self.summary.unchecked) {
            return (Some(failed), false);
        }
        (checks.log(evidence).err(), self.log.is_some() && record.log_index.is_none())
    }

    fn advance(&mut self, now: Before) {
        if let Some(event_hash) = now.event_hash {
            self.summary.head = Some((now.seq, event_hash));
        }
        self.before = Some(now);
    }

    fn hold(&mut self, seq: u64, failed: Option<Failed>, waits: bool) {
        self.held = failed.map(|(verdict, detail)| Held { finding: self.finding(seq, verdict, detail), waits });
    }

    fn finding(&self, seq: u64, verdict: Verdict, detail: String) -> Finding {
        Finding { verdict, tenant: self.tenant.clone(), plan: self.plan.clone(), seq, detail }
    }
}
