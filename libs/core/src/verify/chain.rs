//! The check of one plan, record by record.

use std::mem;

use crate::envelope::Unopened;
use crate::event::{MAX_SEQ, Record};
use crate::hash::Hash;
use crate::seal::Suite;
use crate::timestamp::Timestamp;
use crate::verify::finding::Failure;
use crate::verify::{CheckedLog, Finding, Trust, UnansweredReceipts, Verdict};

/// The maximum number of findings for one gap. The last one says how many seqs follow. Without it, a row with a forged
/// seq could cause 2^53 findings.
const MAX_GAP_FINDINGS: u16 = 1000;

/// Checks the records of one plan in order of seq. It needs no other plan, so plans can be checked in parallel. Apart
/// from the findings, memory does not grow with the plan.
///
/// Each seq has at most one finding, that of the first failed check, and a FORK for each record that comes after one with a
/// higher seq. A finding is returned once it is final: after the next record or the end of the plan has shown that there is no
/// second record with this seq. The finding of an event without a leaf is returned once a later event has a leaf, or at the end
/// of the plan.
///
/// Without a log, the checks 1 to 12, 14, the first half of 15, and 20 are made, and 13 against the table of leaves
/// (`docs/spec/integrity.md#verify-chain-only`); in addition 16, if the caller passes in why a payload was not opened.
#[derive(Debug)]
pub struct ChainCheck<'t> {
    pub(super) trust: &'t Trust,
    pub(super) log: Option<&'t CheckedLog>,
    receipts: Option<&'t UnansweredReceipts>,
    pub(super) tenant: String,
    pub(super) plan: String,
    pub(super) predecessor: Option<Predecessor>,
    /// The finding of the last record, which a second record with its seq would turn into FORK.
    pending: Option<Pending>,
    /// The findings of events without a leaf, UNANCHORED or ERASED, which a later event with a leaf would turn into
    /// UNSEALED.
    unsealed: Vec<Finding>,
    pub(super) summary: ChainSummary,
}

/// What shows that an event has its leaf, in addition to the tree of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeafEvidence<'a> {
    /// Nothing.
    None,
    /// The record's proof (tlog-proof), as each sealed record of a bundle of plans has one.
    Proof(&'a str),
    /// The leaf hash that a ledger's table of leaves has for the event.
    Row(Hash),
}

/// The fields of a record that the checks of the next record of the plan need.
#[derive(Debug, Default)]
pub(super) struct Predecessor {
    pub(super) seq: u64,
    /// The stored event hash. `None` if the stored value is not a hash.
    pub(super) event_hash: Option<Hash>,
    pub(super) log_index: Option<u64>,
    /// Whether the row is malformed, so that the fields below are not known.
    pub(super) is_malformed: bool,
    pub(super) suite: Option<Suite>,
    pub(super) recorded: Option<Timestamp>,
    /// The v1 signature as stored. `None` if the event has no v1 columns.
    pub(super) v1_signature: Option<String>,
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
    /// The final findings that [`ChainCheck::next`] has not returned yet.
    pub findings: Vec<Finding>,
}

impl<'t> ChainCheck<'t> {
    /// Starts the check of a plan at its first record. With `log`, the records are also compared with the log (checks 13
    /// to 20). With `receipts`, it is noted which of the acknowledged events are found (check 18).
    ///
    /// A record whose leaf is beyond the checkpoint of the log has to be passed in without its log index, since the
    /// checkpoint does not cover it. This happens because events are sealed while a ledger is verified.
    pub fn new(
        trust: &'t Trust,
        log: Option<&'t CheckedLog>,
        receipts: Option<&'t UnansweredReceipts>,
        tenant: &str,
        plan: &str,
    ) -> Self {
        ChainCheck {
            trust,
            log,
            receipts,
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            predecessor: None,
            pending: None,
            unsealed: Vec::new(),
            summary: ChainSummary::default(),
        }
    }

    /// Continues after a record that was verified before, instead of starting at the first record of the plan.
    ///
    /// Of this record only the event hash and the leaf in the log are checked, and it is not counted. The next record has
    /// to link to it.
    pub fn resume_after(&mut self, record: &Record, leaf: LeafEvidence<'_>) {
        let seq = record.header.seq;
        self.register(seq, Some(record.event_hash), record.log_index);
        self.summary = ChainSummary::default();
        let is_hash = record.header.hash() == record.event_hash;
        let failure = if is_hash {
            self.check_leaf(record, leaf).err()
        } else {
            Some((Verdict::EventHash, "the fields do not hash to the event hash".to_owned()))
        };
        self.advance(Predecessor::of(record));
        self.set_pending(seq, failure, false);
    }

    /// Checks the next record and returns the findings that are final now, which are about earlier seqs. Records have
    /// to come in order of seq; a record that comes too late is a FORK.
    ///
    /// `unopened` is the reason why the payload could not be opened, if the verifier opens payloads (check 16).
    pub fn next(&mut self, record: &Record, leaf: LeafEvidence<'_>, unopened: Option<&Unopened>) -> Vec<Finding> {
        let seq = record.header.seq;
        let is_next = self.move_to(seq);
        self.register(seq, Some(record.event_hash), record.log_index);
        if is_next {
            let chain = self.check_chain(record);
            let is_unsealed = chain.is_ok() && self.log.is_some() && record.log_index.is_none();
            let failure = chain.and_then(|()| self.check_log(record, leaf, unopened)).err();
            self.advance(Predecessor::of(record));
            self.set_pending(seq, failure, is_unsealed);
        }
        mem::take(&mut self.summary.findings)
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
        let is_next = self.move_to(seq);
        self.register(seq, event_hash, log_index);
        if is_next {
            self.advance(Predecessor { seq, event_hash, log_index, is_malformed: true, ..Predecessor::default() });
            self.set_pending(seq, Some((Verdict::Format, detail.to_owned())), false);
        }
        mem::take(&mut self.summary.findings)
    }

    /// Ends the plan and returns the summary with the remaining findings.
    pub fn finish(mut self) -> ChainSummary {
        self.summary.findings = self.unsealed;
        self.summary.findings.extend(self.pending.map(|pending| pending.finding));
        self.summary
    }

    /// Moves on to `seq`. If it is above the last seq, the finding of the last record becomes final, the gap before `seq`
    /// is reported, and the result is true. Otherwise (checks 1 and 3) it reports what is wrong with the seq and returns
    /// false.
    fn move_to(&mut self, seq: u64) -> bool {
        self.summary.events += 1;
        let last = self.predecessor.as_ref().map(|predecessor| predecessor.seq);
        if last == Some(seq) {
            self.set_pending(seq, Some((Verdict::Fork, "a second record has this seq".to_owned())), false);
            return false;
        }
        if !(1..=MAX_SEQ).contains(&seq) {
            self.report(seq, Verdict::Format, "seq is not from 1 to 2^53 - 1");
            return false;
        }
        if last.is_some_and(|last| seq < last) {
            self.report(seq, Verdict::Fork, "the record follows records with a higher seq");
            return false;
        }
        match self.pending.take() {
            Some(Pending { finding, is_unsealed: true }) => self.unsealed.push(finding),
            pending => self.summary.findings.extend(pending.map(|pending| pending.finding)),
        }
        let (first, verdict) = last.map_or((1, Verdict::Genesis), |last| (last + 1, Verdict::SeqGap));
        for missing in (first..seq).take(MAX_GAP_FINDINGS.into()) {
            self.report(missing, verdict, "the record is missing");
        }
        let more = (seq - first).saturating_sub(MAX_GAP_FINDINGS.into());
        if let Some(last) = self.summary.findings.last_mut().filter(|_| more > 0) {
            last.detail = format!("the record is missing, and so are the next {more}");
        }
        true
    }

    /// Registers the event hash and the log index of any row, even a second one with the same seq: the event is found,
    /// its leaf is claimed, and earlier events without a leaf become UNSEALED.
    fn register(&mut self, seq: u64, event_hash: Option<Hash>, log_index: Option<u64>) {
        if let (Some(receipts), Some(event_hash)) = (self.receipts, event_hash) {
            receipts.mark_found(&event_hash);
        }
        let Some(index) = log_index else { return };
        self.summary.sealed += 1;
        self.log.inspect(|log| log.claim(index));
        let earlier = self.unsealed.extract_if(.., |finding| finding.seq < seq);
        self.summary.findings.extend(earlier.map(|finding| Finding {
            verdict: Verdict::Unsealed,
            detail: "the event has no leaf, but a later event of its plan has one".to_owned(),
            ..finding
        }));
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

    fn report(&mut self, seq: u64, verdict: Verdict, detail: &str) {
        let finding = self.finding(seq, verdict, detail.to_owned());
        self.summary.findings.push(finding);
    }

    fn finding(&self, seq: u64, verdict: Verdict, detail: String) -> Finding {
        Finding { verdict, tenant: self.tenant.clone(), plan: self.plan.clone(), seq, detail }
    }
}

impl Predecessor {
    fn of(record: &Record) -> Self {
        Self {
            seq: record.header.seq,
            event_hash: Some(record.event_hash),
            log_index: record.log_index,
            is_malformed: false,
            suite: record.header.kid.suite(),
            recorded: Some(record.header.recorded),
            v1_signature: record.v1.as_ref().map(|v1| v1.signature.clone()),
        }
    }
}
