//! The checks of one record, in their order (`docs/spec/integrity.md#checks-of-events`, checks 3 to 16, 19 and 20).

use crate::canonical::stored_matches;
use crate::envelope::Unopened;
use crate::event::{Header, PayloadMode, Record, V1};
use crate::seal::{Checked, check_shape};
use crate::verify::Verdict;
use crate::verify::chain::{ChainCheck, LeafEvidence, Predecessor};
use crate::verify::finding::Failure;

/// 60 s in microseconds: how far the clocks of a database and of a witness may differ, and how long an event may be
/// without a leaf while later ones have one.
const TOLERANCE_MICROS: i64 = 60_000_000;

impl ChainCheck<'_> {
    /// Checks 3 to 12, which need the record and its predecessor. Counts the MACs and v1 signatures whose secret the
    /// verifier lacks as unchecked.
    pub(super) fn check_chain(&mut self, record: &Record) -> Result<(), Failure> {
        check_format(record)?;
        self.check_link(&record.header)?;
        self.check_suite(record)?;
        self.check_hash(record)?;
        self.summary.unchecked += self.check_key(record)?;
        check_texts(record)?;
        self.summary.unchecked += self.check_v1(record)?;
        Ok(())
    }

    /// Checks 13 to 16, 19 and 20. Without a log, 13 is only made against the table of leaves, the second half of 15 and 19
    /// are left out.
    pub(super) fn check_log(
        &self,
        record: &Record,
        leaf: LeafEvidence<'_>,
        unopened: Option<&Unopened>,
    ) -> Result<(), Failure> {
        self.check_leaf(record, leaf)?;
        self.check_sealed_in_time(record)?;
        self.check_order(record)?;
        self.check_time(record)?;
        // ERASED is the last check, after UNANCHORED; the other reasons are check 16.
        let unopened = unopened.map(|unopened| (unopened.verdict(), unopened.to_string()));
        match unopened {
            Some((Verdict::Erased, _)) | None => self.check_anchored(record)?,
            Some(failure) => return Err(failure),
        }
        unopened.map_or(Ok(()), Err)?;
        ensure(!self.trust.has_erased(record), Verdict::Erased, "an erasure names the data key")
    }

    /// Returns the predecessor if its seq is the one before this record's.
    fn adjacent(&self, header: &Header) -> Option<&Predecessor> {
        self.predecessor.as_ref().filter(|predecessor| predecessor.seq + 1 == header.seq)
    }

    /// Check 4.
    fn check_link(&self, header: &Header) -> Result<(), Failure> {
        if header.seq == 1 {
            let genesis = Header::genesis(&self.trust.origin, &self.tenant, &self.plan);
            return ensure(header.prev == genesis, Verdict::Genesis, "prev is not the genesis of the plan");
        }
        let linked = self.adjacent(header).is_none_or(|predecessor| predecessor.event_hash == Some(header.prev));
        ensure(linked, Verdict::Link, "prev is not the event hash of the predecessor")
    }

    /// Check 5.
    fn check_suite(&self, record: &Record) -> Result<(), Failure> {
        let suite = check_shape(&record.header.kid, &record.mac, &record.sig)
            .map_err(|verdict| (verdict, "the MAC and signature are not those of the key's suite".to_owned()))?;
        let before = self.predecessor.as_ref().and_then(|predecessor| predecessor.suite);
        let rises = before.is_none_or(|before| before <= suite);
        ensure(rises, Verdict::Suite, "the suite is lower than the predecessor's")
    }

    /// Check 6.
    fn check_hash(&self, Record { header, event_hash, .. }: &Record) -> Result<(), Failure> {
        let same = header.origin == self.trust.origin && header.hash() == *event_hash;
        ensure(same, Verdict::EventHash, "the fields do not hash to the event hash")
    }

    /// Checks 7 to 9. Returns the number of seals that were not checked, because the secret is missing.
    fn check_key(&self, record: &Record) -> Result<u64, Failure> {
        let Record { header, event_hash, mac, sig, log_index, .. } = record;
        let failed = |verdict| (verdict, format!("key {}", header.kid));
        self.trust.check_window(&header.kid, *log_index).map_err(failed)?;
        let checked = self.trust.keyring.check(header, event_hash, mac, sig).map_err(failed)?;
        Ok(u64::from(checked == Checked::NoSecret))
    }

    /// Check 12. Returns the number of signatures that were not checked, because the secret is missing.
    fn check_v1(&self, record: &Record) -> Result<u64, Failure> {
        let Record { header, v1, .. } = record;
        let before = self.predecessor.as_ref().filter(|predecessor| !predecessor.is_malformed);
        let same_as_before = before.is_none_or(|before| before.v1_signature.is_some() == v1.is_some());
        ensure(same_as_before, Verdict::V1Signature, "scheme v1 begins or ends inside the plan")?;
        let Some(v1) = v1 else {
            let detail = "the sealed metadata says that the event carries scheme v1, and it has none";
            return ensure(!record.claims_v1(), Verdict::V1Signature, detail).map(|()| 0);
        };
        let V1 { payload_hash, prev_hash, .. } = v1;

        let linked = match self.adjacent(header).and_then(|predecessor| predecessor.v1_signature.as_ref()) {
            Some(signature) => prev_hash.as_ref() == Some(signature),
            None => header.seq != 1 || prev_hash.is_none(),
        };
        ensure(linked, Verdict::V1PrevHash, "v1 prev_hash is not the v1 signature of the predecessor")?;
        let same = *payload_hash == header.payload_hash.to_string();
        ensure(same, Verdict::V1PayloadHash, "v1 payload_hash is not the sealed payload hash")?;
        let signed = self.trust.keyring.v1_is_signed(&header.plan, &header.event_type, v1);
        // Without a v1 key the signature is counted as unchecked.
        ensure(signed.unwrap_or(true), Verdict::V1Signature, "the v1 signature is of no v1 key")?;
        Ok(u64::from(signed.is_none()))
    }

    /// Check 13 of a record that has a leaf: the leaf in the log, and what the caller knows of it.
    pub(super) fn check_leaf(&self, record: &Record, leaf: LeafEvidence<'_>) -> Result<(), Failure> {
        let proof = if let LeafEvidence::Proof(proof) = leaf { Some(proof) } else { None };
        let in_log = self.log.zip(record.log_index);
        if let Some((log, index)) = in_log {
            log.check_leaf(record, index, proof)?;
        }
        let LeafEvidence::Row(stored) = leaf else { return Ok(()) };
        // Where there is a tree, its leaf was just found to be that of the record, so that it need not be hashed again.
        let hash = in_log.and_then(|(log, index)| log.leaf_hash(index)).unwrap_or_else(|| record.leaf_hash());
        ensure(hash == stored, Verdict::LeafMismatch, "the table of leaves has another leaf for the event")
    }

    /// Check 13 of a record that has no leaf, except the case that a later event of the same plan has one, which
    /// [`ChainCheck::next`] detects.
    fn check_sealed_in_time(&self, record: &Record) -> Result<(), Failure> {
        if self.log.is_none() || record.log_index.is_some() {
            return Ok(());
        }
        let overdue = record.header.recorded.micros().saturating_add(TOLERANCE_MICROS);
        let late = self.trust.latest_sealed.is_some_and(|latest| latest.micros() > overdue);
        ensure(!late, Verdict::Unsealed, "the event has no leaf, but an event recorded over 60 s later has one")
    }

    /// Check 14.
    fn check_order(&self, record: &Record) -> Result<(), Failure> {
        let before = self.predecessor.as_ref().and_then(|predecessor| predecessor.log_index);
        let rises = match (before, record.log_index) {
            (Some(before), Some(index)) => before < index,
            _ => true,
        };
        ensure(rises, Verdict::Order, "the log index is not above the predecessor's")
    }

    /// Check 15.
    fn check_time(&self, record: &Record) -> Result<(), Failure> {
        let recorded = record.header.recorded;
        let before = self.predecessor.as_ref().and_then(|predecessor| predecessor.recorded);
        let rises = before.is_none_or(|before| before <= recorded);
        ensure(rises, Verdict::Time, "recorded before the predecessor")?;
        let seen = self.log.zip(record.log_index).and_then(|(log, index)| log.first_seen(index));
        // A trusted time that does not fit into an i64 of microseconds is later than every recorded time: it saturates.
        let in_time = seen.is_none_or(|seconds| {
            let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            recorded.micros() <= micros.saturating_add(TOLERANCE_MICROS)
        });
        ensure(in_time, Verdict::Time, "recorded over 60 s after a trusted time over its leaf")
    }

    /// Check 19.
    fn check_anchored(&self, record: &Record) -> Result<(), Failure> {
        let Some(log) = self.log else { return Ok(()) };
        let covered = record.log_index.is_some_and(|index| index < log.anchored());
        ensure(covered, Verdict::Unanchored, "no anchor covers the event yet")
    }
}

/// Check 3.
fn check_format(Record { header, v1, .. }: &Record) -> Result<(), Failure> {
    header.validate().map_err(|error| (error.verdict(), error.to_string()))?;
    let has_bar = header.plan.contains('|') || header.event_type.contains('|');
    ensure(v1.is_none() || !has_bar, Verdict::Format, "the plan or type of an event with v1 columns contains |")
}

/// Checks 10 and 11.
fn check_texts(Record { header, payload, metadata, .. }: &Record) -> Result<(), Failure> {
    let payload = match (payload, header.payload_mode) {
        (Some(_), PayloadMode::HashOnly) => Err("a hash-only event has a payload"),
        (None, PayloadMode::Plain | PayloadMode::Encrypted) => Err("the payload is missing"),
        (Some(text), _) if !stored_matches(text, &header.payload_hash) => Err("the payload is not the sealed one"),
        (None | Some(_), _) => Ok(()),
    };
    payload.map_err(|detail| (Verdict::PayloadHash, detail.to_owned()))?;
    ensure(stored_matches(metadata, &header.metadata_hash), Verdict::MetadataHash, "the metadata is not the sealed one")
}

fn ensure(holds: bool, verdict: Verdict, detail: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err((verdict, detail.to_owned())) }
}
