//! What a verification that continues after a verified record checks of that record, and of the records after it.

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::seal::Signer;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{ChainCheck, ChainSummary, LeafEvidence, Trust, UnansweredReceipts, Verdict};
use serde_json::json;

use crate::common::chain::{findings, hmac_keyring, keyring, next, plan, sealed, summary, trust_in};

/// Returns a trusted chain of five sealed events, and its signer.
fn chain() -> (Trust, Signer, Vec<Record>) {
    let keyring = keyring(1);
    let signer = keyring.signer().unwrap();
    let records = plan(&signer, "acme", "order-1", 5);
    let sealed = (10..).zip(records).map(|(index, record)| Record { log_index: Some(index), ..record });
    (trust_in(&keyring), signer, sealed.collect())
}

/// Continues after a record whose leaf the ledger has, and checks the rest.
fn resumed(trust: &Trust, verified: &Record, leaf: Hash, rest: &[Record]) -> ChainSummary {
    let mut check = ChainCheck::new(trust, None, None, "acme", "order-1");
    check.resume_after(verified, LeafEvidence::Row(leaf));
    let row = |record: &Record| LeafEvidence::Row(record.leaf_hash());
    let mut findings: Vec<_> = rest.iter().flat_map(|record| check.next(record, row(record), None)).collect();
    let mut summary = check.finish();
    findings.append(&mut summary.findings);
    ChainSummary { findings, ..summary }
}

fn found(trust: &Trust, verified: &Record, leaf: Hash, rest: &[Record]) -> Vec<(Verdict, u64)> {
    let findings = resumed(trust, verified, leaf, rest).findings;
    findings.iter().map(|finding| (finding.verdict, finding.seq)).collect()
}

#[test]
fn the_verified_record_is_not_counted_and_the_next_one_follows_it() {
    let (trust, _, records) = chain();
    let summary = resumed(&trust, &records[1], records[1].leaf_hash(), &records[2..]);
    assert_eq!((summary.events, summary.sealed, summary.unchecked), (3, 3, 0));
    assert_eq!((summary.head, summary.findings), (Some((5, records[4].event_hash)), vec![]));
    let nothing_new = resumed(&trust, &records[1], records[1].leaf_hash(), &[]);
    assert_eq!((nothing_new.events, nothing_new.head), (0, Some((2, records[1].event_hash))));
    assert_eq!(nothing_new.findings, []);
}

#[test]
fn the_verified_record_has_to_be_the_one_of_its_leaf() {
    let (trust, signer, records) = chain();
    // Someone who has the key seals the event again. Its leaf is still that of the event that was verified.
    let mut rewritten = records[1].clone();
    rewritten.header.actor = "somebody".into();
    let rewritten = sealed(&signer, rewritten);
    let of_leaf = found(&trust, &rewritten, records[1].leaf_hash(), &records[2..]);
    assert_eq!(of_leaf, [(Verdict::LeafMismatch, 2), (Verdict::Link, 3)]);
    // With the leaf changed too, the next event shows it.
    assert_eq!(found(&trust, &rewritten, rewritten.leaf_hash(), &records[2..]), [(Verdict::Link, 3)]);

    let mut edited = records[1].clone();
    edited.header.actor = "somebody".into();
    assert_eq!(found(&trust, &edited, records[1].leaf_hash(), &records[2..]), [(Verdict::EventHash, 2)]);
    assert_eq!(found(&trust, &edited, records[1].leaf_hash(), &[]), [(Verdict::EventHash, 2)]);
}

#[test]
fn gaps_and_forks_after_the_verified_record_are_found() {
    let (trust, _, records) = chain();
    let found = |rest: &[Record]| found(&trust, &records[1], records[1].leaf_hash(), rest);
    assert_eq!(found(&records[3..]), [(Verdict::SeqGap, 3)]);
    assert_eq!(found(&records[1..]), [(Verdict::Fork, 2)]);
    assert_eq!(found(&[records[0].clone(), records[2].clone()]), [(Verdict::Fork, 1)]);
}

#[test]
fn the_next_record_must_not_fall_behind_the_verified_one() {
    let (trust, signer, records) = chain();
    let after = |change: &dyn Fn(&mut Record)| {
        let mut record = records[2].clone();
        change(&mut record);
        found(&trust, &records[1], records[1].leaf_hash(), &[sealed(&signer, record)])
    };
    let recorded = records[1].header.recorded;
    assert_eq!(after(&|record| record.header.recorded = recorded), []);
    let earlier = Timestamp::from_micros(recorded.micros() - 1).unwrap();
    assert_eq!(after(&|record| record.header.recorded = earlier), [(Verdict::Time, 3)]);
    assert_eq!(after(&|record| record.log_index = records[1].log_index), [(Verdict::Order, 3)]);
    assert_eq!(after(&|record| record.log_index = records[1].log_index.map(|index| index + 1)), []);
    // An event under an HMAC key after one under an Ed25519 key.
    let weak = next(&hmac_keyring().signer().unwrap(), "acme", "order-1", Some(&records[1]), &json!(1));
    assert_eq!(found(&trust, &records[1], records[1].leaf_hash(), &[weak]), [(Verdict::Suite, 3)]);
}

#[test]
fn the_verified_record_answers_its_receipt() {
    let (trust, _, records) = chain();
    let mut receipts = UnansweredReceipts::default();
    for record in &records[1..3] {
        receipts.add("acme", "order-1", record.header.seq, record.event_hash);
    }
    let mut check = ChainCheck::new(&trust, None, Some(&receipts), "acme", "order-1");
    check.resume_after(&records[1], LeafEvidence::None);
    assert_eq!(check.finish().findings, []);
    let missing: Vec<_> = receipts.missing().map(|finding| finding.seq).collect();
    assert_eq!(missing, [3]);
}

#[test]
fn a_leaf_of_another_event_is_found_without_a_log() {
    let (trust, _, records) = chain();
    let mut check = ChainCheck::new(&trust, None, None, "acme", "order-1");
    let mut all = check.next(&records[0], LeafEvidence::Row(records[0].leaf_hash()), None);
    all.extend(check.next(&records[1], LeafEvidence::Row(records[2].leaf_hash()), None));
    all.extend(check.next(&records[2], LeafEvidence::None, None));
    all.extend(check.finish().findings);
    assert_eq!(all.iter().map(|found| (found.verdict, found.seq)).collect::<Vec<_>>(), [(Verdict::LeafMismatch, 2)]);
}

#[test]
fn columns_of_scheme_v1_that_the_sealed_metadata_claim_must_be_there() {
    let (trust, signer, records) = chain();
    let marked = |record: &Record, metadata: &str| {
        let mut record = Record { metadata: metadata.to_owned(), ..record.clone() };
        record.header.metadata_hash = Hash::of(metadata.as_bytes());
        sealed(&signer, record)
    };
    for (metadata, claims) in [
        (r#"{"sealbus":{"auth":"token","v1":true}}"#, true),
        (r#"{"sealbus":{"auth":"token","v1":false}}"#, false),
        (r#"{"sealbus":{"auth":"v1"},"v1":true}"#, false),
        (r#"{"sealbus":{"auth":"token"}}"#, false),
    ] {
        let record = marked(&records[0], metadata);
        let expected: &[_] = if claims { &[(Verdict::V1Signature, 1)] } else { &[] };
        assert_eq!(findings(&trust, &[record]), expected, "{metadata}");
    }
    // The stored text may spell the name with an escape.
    let mut respelled = marked(&records[0], r#"{"sealbus":{"auth":"token","v1":true}}"#);
    respelled.metadata = r#"{"sealbus":{"auth":"token","\u00761":true}}"#.to_owned();
    assert_eq!(summary(&trust, &[respelled]).findings[0].verdict, Verdict::V1Signature);
}
