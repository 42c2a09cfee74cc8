//! One plan's chain, record by record.

use crate::{
    canonical::stored_matches,
    event::{Header, MAX_SEQ, PayloadMode, Record, V1},
    hash::Hash,
    seal::{Checked, Suite, check_shape},
    timestamp::Timestamp,
    verify::{Finding, Trust, Verdict},
};

/// Of a hole, so many places are named one by one; the last finding says how far it goes on. A renumbered row could otherwise
/// make 2^53 of them.
const MAX_GAP_FINDINGS: u64 = 1000;

/// Checks one plan's records as they are read in order of seq, in memory that does not grow with the plan.
///
/// Of each place in the plan the first check that fails is the one finding. A place's finding is given once the next record,
/// or the end, has shown that no second record shares the place.
#[derive(Debug)]
pub struct ChainCheck<'t> {
    trust: &'t Trust,
    tenant: String,
    plan: String,
    before: Option<Before>,
    /// What was found of the record before.
    held: Option<Finding>,
    summary: ChainSummary,
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

/// What the checks of a record need to know of the one before.
#[derive(Debug)]
struct Before {
    seq: u64,
    /// As stored; `None` where what is stored is no hash.
    event_hash: Option<Hash>,
    suite: Option<Suite>,
    recorded: Option<Timestamp>,
    older: Older,
}

/// The older contract's columns of the record before.
#[derive(Debug)]
enum Older {
    /// The row is no record.
    Unknown,
    NotCarried,
    Carried {
        /// As stored.
        signature: String,
    },
}

impl Older {
    fn of(v1: Option<&V1>) -> Older {
        v1.map_or(Older::NotCarried, |v1| Older::Carried { signature: v1.signature.clone() })
    }
}

/// A failed check: the verdict and its detail.
type Failed = (Verdict, String);

impl<'t> ChainCheck<'t> {
    /// Begins with the plan's first record.
    pub fn new(trust: &'t Trust, tenant: &str, plan: &str) -> ChainCheck<'t> {
        ChainCheck {
            trust,
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            before: None,
            held: None,
            summary: ChainSummary::default(),
        }
    }

    /// Takes the next record and gives what is certain by now: findings of places before it. Records come in order of seq; one
    /// that comes later than its place is a FORK of it.
    pub fn next(&mut self, record: &Record) -> Vec<Finding> {
        self.summary.sealed += u64::from(record.log_index.is_some());
        let mut findings = Vec::new();
        if self.takes_place(record.header.seq, &mut findings) {
            let failed = self.check(record).err();
            self.advance(Before {
                seq: record.header.seq,
                event_hash: Some(record.event_hash),
                suite: record.header.kid.suite(),
                recorded: Some(record.header.recorded),
                older: Older::of(record.v1.as_ref()),
            });
            self.hold(record.header.seq, failed);
        }
        findings
    }

    /// Takes a stored row that is no [`Record`], since a column holds what its type cannot: its place gets FORMAT. The event
    /// hash is the stored one, where it is a hash.
    pub fn next_malformed(&mut self, seq: u64, event_hash: Option<Hash>, detail: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.takes_place(seq, &mut findings) {
            self.advance(Before { seq, event_hash, suite: None, recorded: None, older: Older::Unknown });
            self.hold(seq, Some((Verdict::Format, detail.to_owned())));
        }
        findings
    }

    /// The end of the plan.
    pub fn finish(mut self) -> ChainSummary {
        self.summary.findings.extend(self.held.take());
        self.summary
    }

    /// Whether a record of this seq takes the next place, or one behind a hole: then the findings of what lies before are
    /// given. Otherwise what is wrong with it is held or given here.
    fn takes_place(&mut self, seq: u64, findings: &mut Vec<Finding>) -> bool {
        self.summary.events += 1;
        let last = self.before.as_ref().map(|before| before.seq);
        if last == Some(seq) {
            self.hold(seq, Some((Verdict::Fork, "a second record stands at this place".to_owned())));
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
        findings.extend(self.held.take());
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

    fn advance(&mut self, now: Before) {
        if let Some(event_hash) = now.event_hash {
            self.summary.head = Some((now.seq, event_hash));
        }
        self.before = Some(now);
    }

    fn hold(&mut self, seq: u64, failed: Option<Failed>) {
        self.held = failed.map(|(verdict, detail)| self.finding(seq, verdict, detail));
    }

    fn finding(&self, seq: u64, verdict: Verdict, detail: String) -> Finding {
        Finding { verdict, tenant: self.tenant.clone(), plan: self.plan.clone(), seq, detail }
    }

    /// Checks 3 to 12, and 15 as far as it needs no log, in their order.
    fn check(&mut self, record: &Record) -> Result<(), Failed> {
        let header = &record.header;
        header.validate().map_err(|error| (error.verdict(), error.to_string()))?;
        self.check_link(header)?;
        self.check_suite(record)?;
        self.check_hash(record)?;
        self.check_key(record)?;
        check_texts(record)?;
        self.check_v1(record)?;
        self.check_time(header)
    }

    /// The record before, if it stands right before this place.
    fn adjacent(&self, seq: u64) -> Option<&Before> {
        self.before.as_ref().filter(|before| before.seq + 1 == seq)
    }

    fn check_link(&self, header: &Header) -> Result<(), Failed> {
        if header.seq == 1 {
            let genesis = Header::genesis(&self.trust.origin, &self.tenant, &self.plan);
            return ensure(header.prev == genesis, Verdict::Genesis, "prev is not the plan's genesis");
        }
        let linked = self.adjacent(header.seq).is_none_or(|before| before.event_hash == Some(header.prev));
        ensure(linked, Verdict::Link, "prev is not the event hash stored before it")
    }

    fn check_suite(&self, record: &Record) -> Result<(), Failed> {
        let suite = check_shape(&record.header.kid, &record.mac, &record.sig)
            .map_err(|verdict| (verdict, "the seal is not of the key id's suite".to_owned()))?;
        let before = self.before.as_ref().and_then(|before| before.suite);
        ensure(
            before.is_none_or(|before| before <= suite),
            Verdict::Suite,
            "the suite is lower than that of the event before",
        )
    }

    fn check_hash(&self, record: &Record) -> Result<(), Failed> {
        let same = record.header.origin == self.trust.origin && record.header.hash() == record.event_hash;
        ensure(same, Verdict::EventHash, "the fields do not hash to the event hash")
    }

    fn check_key(&mut self, record: &Record) -> Result<(), Failed> {
        let header = &record.header;
        let failed = |verdict| (verdict, format!("under key {}", header.kid));
        self.trust.counts(&header.kid, record.log_index).map_err(failed)?;
        let checked = self.trust.keyring.check(header, &record.event_hash, &record.mac, &record.sig).map_err(failed)?;
        self.summary.unchecked += u64::from(checked == Checked::NoSecret);
        Ok(())
    }

    fn check_v1(&mut self, record: &Record) -> Result<(), Failed> {
        let header = &record.header;
        let before = self.before.as_ref().map(|before| &before.older);
        let carried_on = match before {
            Some(Older::NotCarried) => record.v1.is_none(),
            Some(Older::Carried { .. }) => record.v1.is_some(),
            Some(Older::Unknown) | None => true,
        };
        ensure(carried_on, Verdict::V1Signature, "the older contract begins or ends inside the plan")?;
        let Some(v1) = &record.v1 else { return Ok(()) };

        let linked = match self.adjacent(header.seq).map(|before| &before.older) {
            Some(Older::Carried { signature }) => v1.prev_hash.as_ref() == Some(signature),
            _ => header.seq != 1 || v1.prev_hash.is_none(),
        };
        ensure(linked, Verdict::V1PrevHash, "v1 prev_hash is not the signature before it")?;
        let same = v1.payload_hash == header.payload_hash.to_string();
        ensure(same, Verdict::V1PayloadHash, "v1 payload_hash is not the sealed one")?;
        let signed = self.trust.keyring.v1_is_signed(&header.plan, &header.event_type, v1);
        self.summary.unchecked += u64::from(signed.is_none());
        ensure(signed.unwrap_or(true), Verdict::V1Signature, "no v1 key made the v1 signature")
    }

    fn check_time(&self, header: &Header) -> Result<(), Failed> {
        let before = self.before.as_ref().and_then(|before| before.recorded);
        ensure(
            before.is_none_or(|before| before <= header.recorded),
            Verdict::Time,
            "recorded before the event before it",
        )
    }
}

fn check_texts(record: &Record) -> Result<(), Failed> {
    let header = &record.header;
    let payload = match (&record.payload, header.payload_mode) {
        (None, PayloadMode::HashOnly) => Ok(()),
        (Some(_), PayloadMode::HashOnly) => Err("a payload stands where only its hash is kept"),
        (None, PayloadMode::Plain | PayloadMode::Encrypted) => Err("the payload is gone"),
        (Some(text), PayloadMode::Plain | PayloadMode::Encrypted) => {
            if stored_matches(text, &header.payload_hash) {
                Ok(())
            } else {
                Err("the payload is not the sealed one")
            }
        }
    };
    payload.map_err(|detail| (Verdict::PayloadHash, detail.to_owned()))?;
    let same = stored_matches(&record.metadata, &header.metadata_hash);
    ensure(same, Verdict::MetadataHash, "the metadata are not the sealed ones")
}

fn ensure(holds: bool, verdict: Verdict, detail: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err((verdict, detail.to_owned())) }
}
