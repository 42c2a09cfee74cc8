//! Findings about chains that the vectors do not cover.

use proptest::prelude::*;
use sealbus_core::event::{PayloadMode, Record, V1};
use sealbus_core::hash::Hash;
use sealbus_core::log::policy::Policy;
use sealbus_core::seal::{KeyId, Signer};
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{ChainCheck, LeafEvidence, Notes, Trust, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::common::chain::{
    ORIGIN, findings, first_key, hmac_keyring, keyring, next, plan, public_only, sealed, summary, trust_in,
};

/// Returns a trusted chain of five events, and its signer.
fn chain() -> (Trust, Signer, Vec<Record>) {
    let keyring = keyring(1);
    let signer = keyring.signer().unwrap();
    (trust_in(&keyring), signer.clone(), plan(&signer, "acme", "order-1", 5))
}

#[test]
fn an_untouched_chain_has_no_findings() {
    let (trust, _, mut records) = chain();
    records[0].log_index = Some(1);
    records[1].log_index = Some(7);
    let summary = summary(&trust, &records);
    assert_eq!((summary.events, summary.sealed, summary.unchecked), (5, 2, 0));
    assert_eq!(summary.head, Some((5, records[4].event_hash)));
    assert_eq!(summary.findings, []);
    assert_eq!(findings(&trust, &[]), []);
}

#[test]
fn each_missing_seq_is_reported_up_to_a_limit() {
    let (trust, signer, mut records) = chain();
    records.drain(1..3);
    assert_eq!(findings(&trust, &records), [(Verdict::SeqGap, 2), (Verdict::SeqGap, 3)]);
    assert_eq!(summary(&trust, &records).findings[1].detail, "the record is missing");
    records.remove(0);
    assert_eq!(findings(&trust, &records), [(Verdict::Genesis, 1), (Verdict::Genesis, 2), (Verdict::Genesis, 3)]);

    let mut far = records[0].clone();
    far.header.seq = (1 << 53) - 1;
    let all = summary(&trust, &[sealed(&signer, far)]).findings;
    assert_eq!(all.len(), 1000);
    assert!(all[999].detail.ends_with("and so are the next 9007199254739990"), "{}", all[999].detail);
    records[0].header.seq = 1 << 53;
    assert_eq!(findings(&trust, &records[..1]), [(Verdict::Format, 1 << 53)]);
}

#[test]
fn each_seq_has_at_most_one_verdict() {
    let (trust, signer, records) = chain();
    let mut forked = records.clone();
    forked[2].payload = None;
    let other = next(&signer, "acme", "order-1", Some(&records[1]), &json!("other"));
    forked.insert(3, other.clone());
    forked.insert(3, other);
    assert_eq!(findings(&trust, &forked), [(Verdict::Fork, 3)]);

    // A record that comes too late is a fork, too.
    let mut late = records.clone();
    late.push(records[1].clone());
    assert_eq!(findings(&trust, &late), [(Verdict::Fork, 2)]);
}

#[test]
fn a_malformed_row_is_format_and_its_stored_hash_still_links() {
    let (trust, _, records) = chain();
    for (stored, found) in [
        (Some(records[1].event_hash), vec![(Verdict::Format, 2)]),
        (None, vec![(Verdict::Format, 2), (Verdict::Link, 3)]),
    ] {
        let mut check = ChainCheck::new(&trust, None, None, "acme", "order-1");
        let mut all = check.next(&records[0], LeafEvidence::None, None);
        all.extend(check.next_malformed(2, stored, None, "payload_mode is 9"));
        all.extend(records[2..].iter().flat_map(|record| check.next(record, LeafEvidence::None, None)));
        all.extend(check.finish().findings);
        assert_eq!(all.iter().map(|finding| (finding.verdict, finding.seq)).collect::<Vec<_>>(), found);
    }
}

#[test]
fn the_next_record_is_compared_with_what_is_known_of_a_malformed_row() {
    let (trust, _, records) = chain();
    let found = |log_index: Option<u64>, record: &Record| {
        let mut check = ChainCheck::new(&trust, None, None, "acme", "order-1");
        check.next(&records[0], LeafEvidence::None, None);
        let mut all = check.next_malformed(2, Some(records[1].event_hash), log_index, "payload_mode is 9");
        all.extend(check.next(record, LeafEvidence::None, None));
        all.extend(check.finish().findings);
        all.iter().map(|finding| (finding.verdict, finding.seq)).collect::<Vec<_>>()
    };
    let third = Record { log_index: Some(12), ..records[2].clone() };
    assert_eq!(found(Some(11), &third), [(Verdict::Format, 2)]);
    assert_eq!(found(Some(12), &third), [(Verdict::Format, 2), (Verdict::Order, 3)]);
    // Whether the malformed row carries scheme v1 is not known, so that the next record may begin with it.
    let v1 = keyring(1).v1_signer().unwrap();
    let columns = |at: usize, before: Option<&V1>| {
        v1.columns("order-1", "case.step", &records[at].header.payload_hash, before).unwrap()
    };
    let third = Record { v1: Some(columns(2, Some(&columns(1, None)))), ..records[2].clone() };
    assert_eq!(found(None, &third), [(Verdict::Format, 2)]);
}

#[test]
fn an_event_without_a_leaf_is_unsealed_once_a_later_one_has_a_leaf() {
    let (trust, _, records) = chain();
    let policy = Policy::parse(b"quorum none\n").unwrap();
    let log = Notes::new(&policy, ORIGIN, 0, None).with_proofs();
    let found = |records: &[&Record]| {
        let mut check = ChainCheck::new(&trust, Some(&log), None, "acme", "order-1");
        let mut all: Vec<_> = records.iter().flat_map(|record| check.next(record, LeafEvidence::None, None)).collect();
        all.extend(check.finish().findings);
        all.into_iter().map(|finding| (finding.verdict, finding.seq, finding.detail)).collect::<Vec<_>>()
    };
    let unanchored = |seq| (Verdict::Unanchored, seq, "no anchor covers the event yet".to_owned());
    let [first, second] = [&records[0], &records[1]];
    assert_eq!(found(&[first, second]), [unanchored(1), unanchored(2)]);

    let third = Record { log_index: Some(5), ..records[2].clone() };
    let detail = "the event has no leaf, but a later event of its plan has one";
    let unsealed = [1, 2].map(|seq| (Verdict::Unsealed, seq, detail.to_owned()));
    assert_eq!(found(&[first, second, &third])[..2], unsealed);

    // A second record with the same seq is no later event.
    let late = Record { log_index: Some(5), ..records[0].clone() };
    let fork = (Verdict::Fork, 1, "the record follows records with a higher seq".to_owned());
    assert_eq!(found(&[first, second, &late]), [fork, unanchored(1), unanchored(2)]);
}

#[test]
fn a_mac_without_its_secret_is_counted_as_unchecked() {
    let with_secret = hmac_keyring();
    let records = plan(&with_secret.signer().unwrap(), "acme", "order-1", 3);
    let first = first_key(&with_secret.signer().unwrap());
    let trust = Trust::new(ORIGIN, public_only(&with_secret), [&first], 100);
    let all = summary(&trust, &records);
    assert_eq!((all.findings.len(), all.unchecked), (0, 3));
    let mut cut = records.clone();
    cut[1].mac.truncate(16);
    assert_eq!(findings(&trust, &cut), [(Verdict::Mac, 2)], "a MAC of 16 bytes was accepted");
}

#[test]
fn scheme_v1_covers_a_whole_plan_or_none_of_it() {
    let keyring = keyring(1);
    let (trust, signer, v1) = (trust_in(&keyring), keyring.signer().unwrap(), keyring.v1_signer().unwrap());
    let mut records = plan(&signer, "acme", "order-1", 4);
    let mut before: Option<V1> = None;
    for record in &mut records {
        let columns = v1.columns("order-1", "case.step", &record.header.payload_hash, before.as_ref()).unwrap();
        record.v1 = Some(columns.clone());
        before = Some(columns);
    }
    assert_eq!(findings(&trust, &records), []);

    let broken = |change: &dyn Fn(&mut [Record])| {
        let mut records = records.clone();
        change(&mut records);
        findings(&trust, &records)
    };
    assert_eq!(broken(&|records| records[3].v1 = None), [(Verdict::V1Signature, 4)], "v1 ends inside the plan");
    let begins = broken(&|records| records[..3].iter_mut().for_each(|record| record.v1 = None));
    assert_eq!(begins, [(Verdict::V1Signature, 4)], "v1 begins inside the plan");
    let column = |change: fn(&mut V1)| broken(&|records| change(records[3].v1.as_mut().unwrap()));
    assert_eq!(column(|v1| v1.prev_hash = None), [(Verdict::V1PrevHash, 4)]);
    assert_eq!(column(|v1| v1.payload_hash = "0".repeat(64)), [(Verdict::V1PayloadHash, 4)]);
    assert_eq!(column(|v1| v1.signature = v1.signature.to_uppercase()), [(Verdict::V1Signature, 4)]);
    // After a gap the link is not checked, but the rest is.
    assert_eq!(
        findings(&trust, &[records[0].clone(), records[3].clone()]),
        [(Verdict::SeqGap, 2), (Verdict::SeqGap, 3)]
    );

    let without_secret = Trust::new(ORIGIN, public_only(&keyring), [&first_key(&signer)], 100);
    assert_eq!(summary(&without_secret, &records).unchecked, 4);
}

#[test]
fn a_chain_of_another_origin_is_refused() {
    let keyring = keyring(1);
    let other = Trust::new("bus.test/two", keyring.clone(), [&first_key(&keyring.signer().unwrap())], 100);
    let found = findings(&other, &plan(&keyring.signer().unwrap(), "acme", "order-1", 3));
    assert_eq!(found, [(Verdict::Genesis, 1), (Verdict::EventHash, 2), (Verdict::EventHash, 3)]);
}

#[test]
fn validly_sealed_events_must_still_follow_the_rules() {
    let (trust, signer, records) = chain();
    let resealed = |change: &dyn Fn(&mut Record)| {
        let mut record = records[4].clone();
        change(&mut record);
        let mut all = records[..4].to_vec();
        all.push(sealed(&signer, record));
        findings(&trust, &all)
    };
    let back = |record: &mut Record| record.header.recorded = Timestamp::from_micros(0).unwrap();
    assert_eq!(resealed(&back), [(Verdict::Time, 5)]);
    assert_eq!(resealed(&|record| record.header.prev = Hash([1; 32])), [(Verdict::Link, 5)]);
    assert_eq!(resealed(&|record| record.header.payload_mode = PayloadMode::HashOnly), [(Verdict::PayloadHash, 5)]);
    let hash_only = |record: &mut Record| (record.header.payload_mode, record.payload) = (PayloadMode::HashOnly, None);
    assert_eq!(resealed(&hash_only), []);
}

type Change = fn(&mut Record);

/// Changes of one stored value each.
const CHANGES: [(&str, Change); 24] = [
    ("seq", |record| record.header.seq += 1),
    ("tenant", |record| record.header.tenant.push('x')),
    ("plan", |record| record.header.plan.push('x')),
    ("event_id", |record| record.header.event_id = Uuid::from_u128(!record.header.event_id.as_u128())),
    ("type", |record| record.header.event_type.push('x')),
    ("data_version", |record| record.header.data_version += 1),
    ("occurred", |record| {
        record.header.occurred = Timestamp::from_micros(record.header.occurred.micros() - 1).unwrap();
    }),
    ("recorded", |record| {
        record.header.recorded = Timestamp::from_micros(record.header.recorded.micros() + 1).unwrap();
    }),
    ("source", |record| record.header.source.clear()),
    ("actor", |record| record.header.actor.push('\u{301}')),
    ("correlation_id", |record| record.header.correlation_id.push(' ')),
    ("causation_id", |record| record.header.causation_id.push('x')),
    ("payload_mode", |record| record.header.payload_mode = PayloadMode::Encrypted),
    ("payload_size", |record| record.header.payload_size += 1),
    ("payload_hash", |record| record.header.payload_hash.0[31] ^= 1),
    ("metadata_hash", |record| record.header.metadata_hash.0[0] ^= 1),
    ("prev", |record| record.header.prev.0[7] ^= 0x80),
    ("kid", |record| record.header.kid = KeyId::new("ed25519-0000000000000000")),
    ("event_hash", |record| record.event_hash.0[0] ^= 1),
    ("mac", |record| record.mac.push(0)),
    ("sig", |record| record.sig[63] ^= 0x10),
    ("payload", |record| record.payload = record.payload.as_ref().map(|text| text.replace("\"n\":", "\"n\":1"))),
    ("metadata", |record| record.metadata = record.metadata.replace("token", "mtls")),
    ("v1", |record| record.v1 = Some(V1 { payload_hash: String::new(), prev_hash: None, signature: String::new() })),
];

proptest! {
    #[test]
    fn any_change_of_one_field_is_found(place in 0..5_usize, change in 0..CHANGES.len()) {
        let (trust, _, mut records) = chain();
        let (name, change) = CHANGES[change];
        change(&mut records[place]);
        let found = findings(&trust, &records);
        prop_assert!(!found.is_empty(), "a change of {} of event {} was not found", name, place + 1);
        let seq = records[place].header.seq;
        prop_assert!(name == "seq" || found.iter().any(|finding| finding.1.abs_diff(seq) <= 1), "{name}: {found:?}");
    }

    #[test]
    fn any_flipped_bit_of_the_seal_is_found(place in 0..5_usize, bit in 0..512_usize) {
        let (trust, _, mut records) = chain();
        records[place].sig[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(findings(&trust, &records), [(Verdict::Signature, place as u64 + 1)]);
    }

    #[test]
    fn any_other_order_is_found(first in 0..5_usize, second in 0..5_usize) {
        prop_assume!(first != second);
        let (trust, _, mut records) = chain();
        records.swap(first, second);
        for (record, seq) in records.iter_mut().zip(1..) {
            record.header.seq = seq;
        }
        prop_assert!(!findings(&trust, &records).is_empty());
    }
}
