//! What one record is held to, check by check (INTEGRITY, Verifying, checks 3 to 20).

use crate::canonical::stored_matches;
use crate::envelope::Unopened;
use crate::event::{Header, PayloadMode, Record, V1};
use crate::hash::Hash;
use crate::seal::{Checked, Suite, check_shape};
use crate::timestamp::Timestamp;
use crate::verify::{CheckedLog, Trust, Verdict};

/// A failed check: the verdict and its detail.
pub(super) type Failed = (Verdict, String);

/// A minute: how far the clocks of a database and a witness may lie apart, and how long an event may wait for its leaf.
const TOLERANCE: i64 = 60_000_000;

/// What a verifier has of an event beside its record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Evidence<'e> {
    /// The text of its proof (tlog-proof). A bundle of plans has one in each sealed record.
    pub proof: Option<&'e str>,
    /// Where its payload was to be opened and is not: why (check 16).
    pub unopened: Option<Unopened>,
}

/// What the checks of a record need to know of the one before.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) seq: u64,
    /// As stored; `None` where what is stored is no hash.
    pub(super) event_hash: Option<Hash>,
    pub(super) suite: Option<Suite>,
    pub(super) recorded: Option<Timestamp>,
    pub(super) older: Older,
    pub(super) log_index: Option<u64>,
}

/// The older contract's columns of the record before.
#[derive(Debug)]
pub(super) enum Older {
    /// The row is no record.
    Unknown,
    NotCarried,
    Carried {
        /// As stored.
        signature: String,
    },
}

impl Before {
    /// What a record is to the one behind it.
    pub(super) fn of(record: &Record) -> Self {
        let older =
            record.v1.as_ref().map_or(Older::NotCarried, |v1| Older::Carried { signature: v1.signature.clone() });
        Self {
            seq: record.header.seq,
            event_hash: Some(record.event_hash),
            suite: record.header.kid.suite(),
            recorded: Some(record.header.recorded),
            older,
            log_index: record.log_index,
        }
    }
}

/// A record among what it is compared with.
pub(super) struct Checks<'c> {
    pub(super) trust: &'c Trust,
    pub(super) log: Option<&'c CheckedLog>,
    pub(super) tenant: &'c str,
    pub(super) plan: &'c str,
    pub(super) before: Option<&'c Before>,
    pub(super) record: &'c Record,
}

impl Checks<'_> {
    /// Checks 3 to 12: what the record itself and its chain say. `unchecked` counts what is passed over for want of a secret.
    pub(super) fn chain(&self, unchecked: &mut u64) -> Result<(), Failed> {
        self.format()?;
        self.link()?;
        self.suite()?;
        self.hash()?;
        *unchecked += self.key()?;
        self.texts()?;
        *unchecked += self.v1()?;
        Ok(())
    }

    /// Checks 13 to 16, 19 and 20: what the log and the data keys say. Those that need a log are left out where there is none.
    pub(super) fn log(&self, evidence: &Evidence<'_>) -> Result<(), Failed> {
        self.leaf(evidence.proof)?;
        self.order()?;
        self.time()?;
        let unopened = evidence.unopened.as_ref().map(|unopened| (unopened.verdict(), unopened.to_string()));
        let (erased, closed) = (unopened.clone(), unopened);
        closed.filter(|(verdict, _)| *verdict != Verdict::Erased).map_or(Ok(()), Err)?;
        self.anchored()?;
        let is_erased = self.trust.has_erased(self.record);
        let by_event =
            || is_erased.then(|| (Verdict::Erased, "an event says that its data key was destroyed".to_owned()));
        erased.or_else(by_event).map_or(Ok(()), Err)
    }

    fn header(&self) -> &Header {
        &self.record.header
    }

    fn format(&self) -> Result<(), Failed> {
        let header = self.header();
        header.validate().map_err(|error| (error.verdict(), error.to_string()))?;
        let bar = header.plan.contains('|') || header.event_type.contains('|');
        ensure(self.record.v1.is_none() || !bar, Verdict::Format, "under the older contract no name holds a |")
    }

    /// The record before, if it stands right before this place.
    fn adjacent(&self) -> Option<&Before> {
        self.before.filter(|before| before.seq + 1 == self.header().seq)
    }

    fn link(&self) -> Result<(), Failed> {
        let header = self.header();
        if header.seq == 1 {
            let genesis = Header::genesis(&self.trust.origin, self.tenant, self.plan);
            return ensure(header.prev == genesis, Verdict::Genesis, "prev is not the plan's genesis");
        }
        let linked = self.adjacent().is_none_or(|before| before.event_hash == Some(header.prev));
        ensure(linked, Verdict::Link, "prev is not the event hash stored before it")
    }

    fn suite(&self) -> Result<(), Failed> {
        let Record { header, mac, sig, .. } = self.record;
        let suite = check_shape(&header.kid, mac, sig)
            .map_err(|verdict| (verdict, "the seal is not of the key id's suite".to_owned()))?;
        let before = self.before.and_then(|before| before.suite);
        ensure(
            before.is_none_or(|before| before <= suite),
            Verdict::Suite,
            "the suite is lower than that of the event before",
        )
    }

    fn hash(&self) -> Result<(), Failed> {
        let header = self.header();
        let same = header.origin == self.trust.origin && header.hash() == self.record.event_hash;
        ensure(same, Verdict::EventHash, "the fields do not hash to the event hash")
    }

    fn key(&self) -> Result<u64, Failed> {
        let Record { header, event_hash, mac, sig, log_index, .. } = self.record;
        let failed = |verdict| (verdict, format!("under key {}", header.kid));
        self.trust.counts(&header.kid, *log_index).map_err(failed)?;
        let checked = self.trust.keyring.check(header, event_hash, mac, sig).map_err(failed)?;
        Ok(u64::from(checked == Checked::NoSecret))
    }

    fn texts(&self) -> Result<(), Failed> {
        let header = self.header();
        let payload = match (&self.record.payload, header.payload_mode) {
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
        let same = stored_matches(&self.record.metadata, &header.metadata_hash);
        ensure(same, Verdict::MetadataHash, "the metadata are not the sealed ones")
    }

    fn v1(&self) -> Result<u64, Failed> {
        let header = self.header();
        let carried_on = match self.before.map(|before| &before.older) {
            Some(Older::NotCarried) => self.record.v1.is_none(),
            Some(Older::Carried { .. }) => self.record.v1.is_some(),
            Some(Older::Unknown) | None => true,
        };
        ensure(carried_on, Verdict::V1Signature, "the older contract begins or ends inside the plan")?;
        let Some(v1) = &self.record.v1 else { return Ok(0) };
        let V1 { payload_hash, prev_hash, .. } = v1;

        let linked = match self.adjacent().map(|before| &before.older) {
            Some(Older::Carried { signature }) => prev_hash.as_ref() == Some(signature),
            _ => header.seq != 1 || prev_hash.is_none(),
        };
        ensure(linked, Verdict::V1PrevHash, "v1 prev_hash is not the signature before it")?;
        let same = *payload_hash == header.payload_hash.to_string();
        ensure(same, Verdict::V1PayloadHash, "v1 payload_hash is not the sealed one")?;
        let signed = self.trust.keyring.v1_is_signed(&header.plan, &header.event_type, v1);
        ensure(signed.unwrap_or(true), Verdict::V1Signature, "no v1 key made the v1 signature")?;
        Ok(u64::from(signed.is_none()))
    }

    /// Whether a later event of the plan has a leaf, is seen only later: that part of UNSEALED is `ChainCheck`'s.
    fn leaf(&self, proof: Option<&str>) -> Result<(), Failed> {
        let Some(log) = self.log else { return Ok(()) };
        if let Some(index) = self.record.log_index {
            return log.check_leaf(self.record, index, proof);
        }
        let overdue = self.header().recorded.micros().saturating_add(TOLERANCE);
        let late = self.trust.latest_sealed.is_some_and(|latest| latest.micros() > overdue);
        ensure(!late, Verdict::Unsealed, "it has no leaf, though events recorded over a minute later have one")
    }

    fn order(&self) -> Result<(), Failed> {
        let before = self.before.and_then(|before| before.log_index);
        let rises =
            self.log.is_none() || self.record.log_index.is_none_or(|index| before.is_none_or(|before| before < index));
        ensure(rises, Verdict::Order, "its leaf is not behind that of the event before it")
    }

    fn time(&self) -> Result<(), Failed> {
        let recorded = self.header().recorded;
        let before = self.before.and_then(|before| before.recorded);
        ensure(before.is_none_or(|before| before <= recorded), Verdict::Time, "recorded before the event before it")?;
        let seen = self.log.zip(self.record.log_index).and_then(|(log, index)| log.first_seen(index));
        let latest = seen
            .map(|seen| i64::try_from(seen).unwrap_or(i64::MAX).saturating_mul(1_000_000).saturating_add(TOLERANCE));
        ensure(
            latest.is_none_or(|latest| recorded.micros() <= latest),
            Verdict::Time,
            "recorded over a minute after a trusted key had seen its leaf",
        )
    }

    fn anchored(&self) -> Result<(), Failed> {
        let Some(log) = self.log else { return Ok(()) };
        let covered = self.record.log_index.is_some_and(|index| index < log.anchored());
        ensure(covered, Verdict::Unanchored, "no anchor covers it yet")
    }
}

fn ensure(holds: bool, verdict: Verdict, detail: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err((verdict, detail.to_owned())) }
}
