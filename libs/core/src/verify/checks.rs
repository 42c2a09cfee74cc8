//! The checks of one record, in their order (`docs/spec/integrity.md#checks-of-events`, checks 3 to 16, 19 and 20).

use crate::canonical::stored_matches;
use crate::envelope::Unopened;
use crate::event::{Header, PayloadMode, Record, V1};
use crate::hash::Hash;
use crate::seal::{Checked, Suite, check_shape};
use crate::timestamp::Timestamp;
use crate::verify::finding::Failure;
use crate::verify::{CheckedLog, Trust, Verdict};

/// 60 s in microseconds: how far the clocks of a database and of a witness may differ, and how long an event may be
/// without a leaf while later ones have one.
const TOLERANCE_MICROS: i64 = 60_000_000;

/// The evidence about an event in addition to its record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Evidence<'e> {
    /// The text of the proof (tlog-proof). A bundle of plans has one in each sealed record.
    pub proof: Option<&'e str>,
    /// The reason why the payload could not be opened, if the verifier opens payloads (check 16).
    pub unopened: Option<Unopened>,
}

/// The fields of a record that the checks of the next record of the plan need.
#[derive(Debug)]
pub(super) struct Predecessor {
    pub(super) seq: u64,
    /// The stored event hash. `None` if the stored value is not a hash.
    pub(super) event_hash: Option<Hash>,
    pub(super) suite: Option<Suite>,
    pub(super) recorded: Option<Timestamp>,
    pub(super) v1: V1Columns,
    pub(super) log_index: Option<u64>,
}

/// The columns of scheme v1 of the predecessor.
#[derive(Debug)]
pub(super) enum V1Columns {
    /// The row is malformed, so its columns are not known.
    Unknown,
    /// The event has no v1 columns.
    Absent,
    /// The event has v1 columns.
    Present {
        /// The signature as stored.
        signature: String,
    },
}

impl Predecessor {
    /// Returns the fields of a record that the next record is compared with.
    pub(super) fn of(record: &Record) -> Self {
        let v1 =
            record.v1.as_ref().map_or(V1Columns::Absent, |v1| V1Columns::Present { signature: v1.signature.clone() });
        Self {
            seq: record.header.seq,
            event_hash: Some(record.event_hash),
            suite: record.header.kid.suite(),
            recorded: Some(record.header.recorded),
            v1,
            log_index: record.log_index,
        }
    }
}

/// A record together with everything that it is compared with.
pub(super) struct Checks<'c> {
    pub(super) trust: &'c Trust,
    pub(super) log: Option<&'c CheckedLog>,
    pub(super) tenant: &'c str,
    pub(super) plan: &'c str,
    pub(super) predecessor: Option<&'c Predecessor>,
    pub(super) record: &'c Record,
}

impl Checks<'_> {
    /// Checks 3 to 12, which need the record and its predecessor. Adds to `unchecked` the MACs and v1 signatures whose
    /// secret the verifier lacks.
    pub(super) fn chain(&self, unchecked: &mut u64) -> Result<(), Failure> {
        self.format()?;
        self.link()?;
        self.suite()?;
        self.hash()?;
        *unchecked += self.key()?;
        self.texts()?;
        *unchecked += self.v1()?;
        Ok(())
    }

    /// Checks 13 to 16, 19 and 20. Without a log, only the first half of 15, 16 and 20 are made.
    pub(super) fn log(&self, evidence: &Evidence<'_>) -> Result<(), Failure> {
        self.leaf(evidence.proof)?;
        self.order()?;
        self.time()?;
        let unopened = evidence.unopened.as_ref().map(|unopened| (unopened.verdict(), unopened.to_string()));
        // ERASED is the last check, after UNANCHORED; the other reasons are check 16.
        let (erased, failed) = match unopened {
            Some(failure) if failure.0 != Verdict::Erased => (None, Some(failure)),
            erased => (erased, None),
        };
        failed.map_or(Ok(()), Err)?;
        self.anchored()?;
        let is_erased = self.trust.has_erased(self.record);
        let by_event = || is_erased.then(|| (Verdict::Erased, "an erasure names the data key".to_owned()));
        erased.or_else(by_event).map_or(Ok(()), Err)
    }

    fn header(&self) -> &Header {
        &self.record.header
    }

    /// Check 3.
    fn format(&self) -> Result<(), Failure> {
        let header = self.header();
        header.validate().map_err(|error| (error.verdict(), error.to_string()))?;
        let bar = header.plan.contains('|') || header.event_type.contains('|');
        ensure(
            self.record.v1.is_none() || !bar,
            Verdict::Format,
            "the plan or type of an event with v1 columns contains |",
        )
    }

    /// Returns the predecessor if its seq is the one before this record's.
    fn adjacent(&self) -> Option<&Predecessor> {
        self.predecessor.filter(|predecessor| predecessor.seq + 1 == self.header().seq)
    }

    /// Check 4.
    fn link(&self) -> Result<(), Failure> {
        let header = self.header();
        if header.seq == 1 {
            let genesis = Header::genesis(&self.trust.origin, self.tenant, self.plan);
            return ensure(header.prev == genesis, Verdict::Genesis, "prev is not the genesis of the plan");
        }
        let linked = self.adjacent().is_none_or(|predecessor| predecessor.event_hash == Some(header.prev));
        ensure(linked, Verdict::Link, "prev is not the event hash of the predecessor")
    }

    /// Check 5.
    fn suite(&self) -> Result<(), Failure> {
        let Record { header, mac, sig, .. } = self.record;
        let suite = check_shape(&header.kid, mac, sig)
            .map_err(|verdict| (verdict, "the MAC and signature are not those of the key's suite".to_owned()))?;
        let before = self.predecessor.and_then(|predecessor| predecessor.suite);
        let rises = before.is_none_or(|before| before <= suite);
        ensure(rises, Verdict::Suite, "the suite is lower than the predecessor's")
    }

    /// Check 6.
    fn hash(&self) -> Result<(), Failure> {
        let header = self.header();
        let same = header.origin == self.trust.origin && header.hash() == self.record.event_hash;
        ensure(same, Verdict::EventHash, "the fields do not hash to the event hash")
    }

    /// Checks 7 to 9. Returns the number of seals that were not checked, because the secret is missing.
    fn key(&self) -> Result<u64, Failure> {
        let Record { header, event_hash, mac, sig, log_index, .. } = self.record;
        let failed = |verdict| (verdict, format!("key {}", header.kid));
        self.trust.check_window(&header.kid, *log_index).map_err(failed)?;
        let checked = self.trust.keyring.check(header, event_hash, mac, sig).map_err(failed)?;
        Ok(u64::from(checked == Checked::NoSecret))
    }

    /// Checks 10 and 11.
    fn texts(&self) -> Result<(), Failure> {
        let header = self.header();
        let payload = match (&self.record.payload, header.payload_mode) {
            (None, PayloadMode::HashOnly) => Ok(()),
            (Some(_), PayloadMode::HashOnly) => Err("a hash-only event has a payload"),
            (None, PayloadMode::Plain | PayloadMode::Encrypted) => Err("the payload is missing"),
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
        ensure(same, Verdict::MetadataHash, "the metadata is not the sealed one")
    }

    /// Check 12. Returns the number of signatures that were not checked, because the secret is missing.
    fn v1(&self) -> Result<u64, Failure> {
        let header = self.header();
        let same_as_before = match self.predecessor.map(|predecessor| &predecessor.v1) {
            Some(V1Columns::Absent) => self.record.v1.is_none(),
            Some(V1Columns::Present { .. }) => self.record.v1.is_some(),
            Some(V1Columns::Unknown) | None => true,
        };
        ensure(same_as_before, Verdict::V1Signature, "scheme v1 begins or ends inside the plan")?;
        let Some(v1) = &self.record.v1 else { return Ok(0) };
        let V1 { payload_hash, prev_hash, .. } = v1;

        let linked = match self.adjacent().map(|predecessor| &predecessor.v1) {
            Some(V1Columns::Present { signature }) => prev_hash.as_ref() == Some(signature),
            _ => header.seq != 1 || prev_hash.is_none(),
        };
        ensure(linked, Verdict::V1PrevHash, "v1 prev_hash is not the v1 signature of the predecessor")?;
        let same = *payload_hash == header.payload_hash.to_string();
        ensure(same, Verdict::V1PayloadHash, "v1 payload_hash is not the sealed payload hash")?;
        let signed = self.trust.keyring.v1_is_signed(&header.plan, &header.event_type, v1);
        // Without a v1 key the signature is counted as unchecked.
        ensure(signed.unwrap_or(true), Verdict::V1Signature, "the v1 signature is of no v1 key")?;
        Ok(u64::from(signed.is_none()))
    }

    /// Check 13, except the case that a later event of the same plan has a leaf, which
    /// [`ChainCheck`](super::ChainCheck) detects.
    fn leaf(&self, proof: Option<&str>) -> Result<(), Failure> {
        let Some(log) = self.log else { return Ok(()) };
        if let Some(index) = self.record.log_index {
            return log.check_leaf(self.record, index, proof);
        }
        let overdue = self.header().recorded.micros().saturating_add(TOLERANCE_MICROS);
        let late = self.trust.latest_sealed.is_some_and(|latest| latest.micros() > overdue);
        ensure(!late, Verdict::Unsealed, "the event has no leaf, but an event recorded over 60 s later has one")
    }

    /// Check 14.
    fn order(&self) -> Result<(), Failure> {
        let before = self.predecessor.and_then(|predecessor| predecessor.log_index);
        let rises =
            self.log.is_none() || self.record.log_index.is_none_or(|index| before.is_none_or(|before| before < index));
        ensure(rises, Verdict::Order, "the log index is not above the predecessor's")
    }

    /// Check 15.
    fn time(&self) -> Result<(), Failure> {
        let recorded = self.header().recorded;
        let before = self.predecessor.and_then(|predecessor| predecessor.recorded);
        let rises = before.is_none_or(|before| before <= recorded);
        ensure(rises, Verdict::Time, "recorded before the predecessor")?;
        let seen = self.log.zip(self.record.log_index).and_then(|(log, index)| log.first_seen(index));
        // A trusted time that does not fit into an i64 of microseconds is later than every recorded time: it saturates.
        let latest = seen.map(|seconds| {
            let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            micros.saturating_add(TOLERANCE_MICROS)
        });
        let in_time = latest.is_none_or(|latest| recorded.micros() <= latest);
        ensure(in_time, Verdict::Time, "recorded over 60 s after a trusted time over its leaf")
    }

    /// Check 19.
    fn anchored(&self) -> Result<(), Failure> {
        let Some(log) = self.log else { return Ok(()) };
        let covered = self.record.log_index.is_some_and(|index| index < log.anchored());
        ensure(covered, Verdict::Unanchored, "no anchor covers the event yet")
    }
}

fn ensure(holds: bool, verdict: Verdict, detail: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err((verdict, detail.to_owned())) }
}
