//! The check of one plan, record by record.

use std::mem;

use crate::event::{MAX_SEQ, Record};
use crate::hash::Hash;
use crate::verify::checks::{Checks, Predecessor, V1Columns};
use crate::verify::finding::Failure;
use crate::verify::{CheckedLog, Evidence, Finding, Trust, UnansweredReceipts, Verdict};

/// The maximum number of findings for one gap. The last one says how many seqs follow. Without it, a row with a forged
/// seq could cause 2^53 findings.
const MAX_GAP_FINDINGS: u64 = 1000;

/// Checks the records of one plan in order of seq. It needs no other plan, so plans can be checked in parallel. Apart
/// from the findings, memory does not grow with the plan.
///
/// Each seq has at most one finding, that of the first failed check. A finding is returned once it is final: after the
/// next record or the end of the plan has shown that there is no second record with this seq. The finding of an event
/// without a leaf is returned once a later event has a leaf, or at the end of the plan.
///
/// Without a log ([`ChainCheck::against`]), the checks 1 to 12, the first half of 15, and 20 are made
/// (`docs/spec/integrity.md#verify-chain-only`); in addition 16, if the caller passes in why a payload was not opened.
#[derive(Debug)]
pub struct ChainCheck<'t> {
    trust: &'t Trust,
    log: Option<&'t CheckedLog>,
    receipts: Option<&'t UnansweredReceipts>,
    tenant: String,
    plan: String,
    predecessor: Option<Predecessor>,
    /// The finding of the last record, which a second record with its seq would turn into FORK.
    pending: Option<Pending>,
    /// The findings of events without a leaf, UNANCHORED or ERASED, which a later event with a leaf would turn into
    /// UNSEALED.
    unsealed: Vec<Finding>,
    summary: ChainSummary,
}

/// A finding that later records can still change.
#[derive(Debug)]
struct Pending {
    finding: Finding,
    /// Whether the event has no leaf, so that a later event of the plan with a leaf makes it UNSEALED.
    is_unsealed: bool,
}

/// The result of checking a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChainSummary {
    /// The number of records read.
    pub events: u64,
    /// The number of records that have a leaf in the log.
    pub sealed: u64,
    /// The number of MACs and v1 signatures that were not checked, because the verifier lacks the secret.
    pub unchecked: u64,
    /// The seq and the event hash of the last record, as stored.
    pub head: Option<(u64, Hash)>,
    /// The findings that [`ChainCheck::next`] has not returned yet.
    pub findings: Vec<Finding>,
}

impl<'t> ChainCheck<'t> {
    /// Starts the check of a plan at its first record.
    pub fn new(trust: &'t Trust, tenant: &str, plan: &str) -> Self {
        ChainCheck {
            trust,
            log: None,
            receipts: None,
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            predecessor: None,
            pending: None,
            unsealed: Vec::new(),
            summary: ChainSummary::default(),
        }
    }

    /// Also compares the records with a log (checks 13 to 20).
    ///
    /// A record whose leaf is beyond the checkpoint has to be passed in without its log index, since the checkpoint
    /// does not cover it. This happens because events are sealed while a ledger is verified.
    #[must_use]
    pub fn against(self, log: &'t CheckedLog) -> Self {
        ChainCheck { log: Some(log), ..self }
    }

    /// Also notes which of the acknowledged events are found (check 18).
    #[must_use]
    pub fn expecting(self, receipts: &'t UnansweredReceipts) -> Self {
        ChainCheck { receipts: Some(receipts), ..self }
    }

    /// Continues after a record that was verified before, instead of starting at the first record of the plan.
    ///
    /// Of this record only the event hash and the leaf in the log are checked. The next record has to link to it.
    pub fn resume_after(&mut self, record: &Record) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.register(record.header.seq, Some(record.event_hash), record.log_index, &mut findings);
        self.summary = ChainSummary { head: Some((record.header.seq, record.event_hash)), ..ChainSummary::default() };
        let is_hash = record.header.hash() == record.event_hash;
        let failure = match (self.log, record.log_index) {
            _ if !is_hash => Some((Verdict::EventHash, "the fields do not hash to the event hash".to_owned())),
            (Some(log), Some(index)) => log.check_leaf(record, index, None).err(),
            _ => None,
        };
        self.advance(Predecessor::of(record));
        self.set_pending(record.header.seq, failure, false);
        findings
    }

    /// Checks the next record and returns the findings that are final now, which are about earlier seqs. Records have
    /// to come in order of seq; a record that comes too late is a FORK.
    pub fn next(&mut self, record: &Record) -> Vec<Finding> {
        self.next_with(record, &Evidence::default())
    }

    /// Checks the next record like [`ChainCheck::next`], with additional evidence about it.
    pub fn next_with(&mut self, record: &Record, evidence: &Evidence<'_>) -> Vec<Finding> {
        let (seq, mut findings) = (record.header.seq, Vec::new());
        let is_next = self.move_to(seq, &mut findings);
        self.register(seq, Some(record.event_hash), record.log_index, &mut findings);
        if is_next {
            let (failure, is_unsealed) = self.check(record, evidence);
            self.advance(Predecessor::of(record));
            self.set_pending(seq, failure, is_unsealed);
        }
        findings
    }

    /// Takes a stored row that cannot be represented as a [`Record`], which is FORMAT. `event_hash` and `log_index` are
    /// the stored values, if they are valid.
    pub fn next_malformed(
        &mut self,
        seq: u64,
        event_hash: Option<Hash>,
        log_index: Option<u64>,
        detail: &str,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let is_next = self.move_to(seq, &mut findings);
        self.register(seq, event_hash, log_index, &mut findings);
        if is_next {
            let v1 = V1Columns::Unknown;
            self.advance(Predecessor { seq, event_hash, suite: None, recorded: None, v1, log_index });
            self.set_pending(seq, Some((Verdict::Format, detail.to_owned())), false);
        }
        findings
    }

    /// Ends the plan and returns the summary with the remaining findings.
    pub fn finish(mut self) -> ChainSummary {
        self.summary.findings = self.unsealed;
        self.summary.findings.extend(self.pending.map(|pending| pending.finding));
        self.summary
    }

    /// Moves on to `seq`. If it is above the last seq, adds the findings about the last record and the gap before
    /// `seq`, and returns true. Otherwise (checks 1 and 3) reports what is wrong with the seq and returns false.
    fn move_to(&mut self, seq: u64, findings: &mut Vec<Finding>) -> bool {
        self.summary.events += 1;
        let last = self.predecessor.as_ref().map(|predecessor| predecessor.seq);
        if last == Some(seq) {
            self.set_pending(seq, Some((Verdict::Fork, "a second record has this seq".to_owned())), false);
            return false;
        }
        if !(1..=MAX_SEQ).contains(&seq) {
            findings.push(self.finding(seq, Verdict::Format, "seq is not from 1 to 2^53 - 1".to_owned()));
            return false;
        }
        if last.is_some_and(|last| seq < last) {
            findings.push(self.finding(seq, Verdict::Fork, "the record follows records with a higher seq".to_owned()));
            return false;
        }
        match self.pending.take() {
            Some(Pending { finding, is_unsealed: true }) => self.unsealed.push(finding),
            pending => findings.extend(pending.map(|pending| pending.finding)),
        }
        let verdict = if last.is_some() { Verdict::SeqGap } else { Verdict::Genesis };
        let first = last.map_or(1, |last| last + 1);
        for missing in first..seq.min(first.saturating_add(MAX_GAP_FINDINGS)) {
            let more = seq - 1 - missing;
            let detail = if missing + 1 == first + MAX_GAP_FINDINGS && more > 0 {
                format!("the record is missing, and so are the next {more}")
            } else {
                "the record is missing".to_owned()
            };
            findings.push(self.finding(missing, verdict, detail));
        }
        true
    }

    /// Registers the event hash and the log index of any row, even a second one with the same seq: the event is found,
    /// its leaf is claimed, and earlier events without a leaf become UNSEALED.
    fn register(&mut self, seq: u64, event_hash: Option<Hash>, log_index: Option<u64>, findings: &mut Vec<Finding>) {
        if let (Some(receipts), Some(event_hash)) = (self.receipts, event_hash) {
            receipts.mark_found(&event_hash);
        }
        let Some(index) = log_index else { return };
        self.summary.sealed += 1;
        self.log.inspect(|log| log.claim(index));
        let unsealed = mem::take(&mut self.unsealed).into_iter();
        let (earlier, later): (Vec<_>, _) = unsealed.partition(|finding| finding.seq < seq);
        self.unsealed = later;
        findings.extend(earlier.into_iter().map(|finding| Finding {
            verdict: Verdict::Unsealed,
            detail: "the event has no leaf, but a later event of its plan has one".to_owned(),
            ..finding
        }));
    }

    /// Returns the first failed check, and whether a later event with a leaf would make it UNSEALED instead.
    fn check(&mut self, record: &Record, evidence: &Evidence<'_>) -> (Option<Failure>, bool) {
        let checks = Checks {
            trust: self.trust,
            log: self.log,
            tenant: &self.tenant,
            plan: &self.plan,
            predecessor: self.predecessor.as_ref(),
            record,
        };
        if let Err(failure) = checks.chain(&mut self.summary.unchecked) {
            return (Some(failure), false);
        }
        (checks.log(evidence).err(), self.log.is_some() && record.log_index.is_none())
    }

    /// Makes a record the predecessor of the next one, and the head of the plan if it has an event hash.
    fn advance(&mut self, predecessor: Predecessor) {
        if let Some(event_hash) = predecessor.event_hash {
            self.summary.head = Some((predecessor.seq, event_hash));
        }
        self.predecessor = Some(predecessor);
    }

    fn set_pending(&mut self, seq: u64, failure: Option<Failure>, is_unsealed: bool) {
        self.pending =
            failure.map(|(verdict, detail)| Pending { finding: self.finding(seq, verdict, detail), is_unsealed });
    }

    fn finding(&self, seq: u64, verdict: Verdict, detail: String) -> Finding {
        Finding { verdict, tenant: self.tenant.clone(), plan: self.plan.clone(), seq, detail }
    }
}
