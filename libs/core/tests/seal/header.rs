//! Headers: each has one encoding, and the limits of all fields are enforced.

use proptest::prelude::*;
use sealbus_core::event::{FormatError, Header, Leaf, PayloadMode, event_id, is_origin};
use sealbus_core::hash::Hash;
use sealbus_core::seal::KeyId;
use sealbus_core::timestamp::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::common::chain;

/// Generates headers with similar texts, so that a missing boundary between fields would be noticed.
fn header() -> impl Strategy<Value = Header> {
    let text = || "[a-c]{0,3}|[^\\x00-\\x1f\\x7f-\\x9f]{0,40}";
    let hash = || prop_oneof![Just(Hash([0; 32])), any::<[u8; 32]>().prop_map(Hash)];
    let time =
        || (-62_135_596_800_000_000..=253_402_300_799_999_999_i64).prop_map(|at| Timestamp::from_micros(at).unwrap());
    let kid = prop_oneof!["hmac-[0-9a-f]{16}", "ed25519-[0-9a-f]{16}"].prop_map(KeyId::new);
    let mode = (1..=3_u8).prop_map(|code| PayloadMode::from_code(code).unwrap());
    let names = ("[!-*,-~]{1,9}", "[a-cA-Z0-9_-]{1,9}", "[a-c]{1,3}|[^\\x00-\\x1f\\x7f-\\x9f]{1,60}", "[!-~]{1,9}");
    let numbers = (1..1_u64 << 53, any::<u128>(), 1..1_u32 << 31, any::<u32>(), time(), time());
    (names, numbers, (text(), text(), text(), text()), mode, (hash(), hash(), hash()), kid).prop_map(
        |(
            (origin, tenant, plan, event_type),
            (seq, id, data_version, payload_size, occurred, recorded),
            texts,
            payload_mode,
            hashes,
            kid,
        )| {
            let (source, actor, correlation_id, causation_id) = texts;
            let (payload_hash, metadata_hash, prev) = hashes;
            let event_id = Uuid::from_u128(id);
            Header {
                origin,
                tenant,
                plan,
                seq,
                event_id,
                event_type,
                data_version,
                occurred,
                recorded,
                source,
                actor,
                correlation_id,
                causation_id,
                payload_mode,
                payload_size,
                payload_hash,
                metadata_hash,
                prev,
                kid,
            }
        },
    )
}

fn good() -> Header {
    chain::next(&chain::keyring(1).signer().unwrap(), "acme", "order-1", None, &json!({})).header
}

#[test]
fn the_limits_of_fields_are_enforced() {
    type Change = fn(&mut Header);
    let refused: [(&str, Change); 25] = [
        ("origin", |header| header.origin.clear()),
        ("origin", |header| header.origin = "o".repeat(256)),
        ("origin", |header| header.origin = "a+b".into()),
        ("origin", |header| header.origin = "a b".into()),
        ("tenant", |header| header.tenant.clear()),
        ("tenant", |header| header.tenant = "t".repeat(65)),
        ("tenant", |header| header.tenant = "a.b".into()),
        ("plan", |header| header.plan.clear()),
        ("plan", |header| header.plan = "é".repeat(128)),
        ("plan", |header| header.plan = "a\u{9f}".into()),
        ("seq", |header| header.seq = 0),
        ("seq", |header| header.seq = 1 << 53),
        ("type", |header| header.event_type.clear()),
        ("type", |header| header.event_type = "t".repeat(256)),
        ("type", |header| header.event_type = "é".into()),
        ("data_version", |header| header.data_version = 0),
        ("data_version", |header| header.data_version = 1 << 31),
        ("occurred", |header| header.occurred = Timestamp::from_micros(-62_135_596_800_000_001).unwrap()),
        ("recorded", |header| header.recorded = Timestamp::from_micros(-62_135_596_800_000_001).unwrap()),
        ("source", |header| header.source = "s".repeat(1025)),
        ("actor", |header| header.actor = "a".repeat(256)),
        ("correlation_id", |header| header.correlation_id = "\0".into()),
        ("causation_id", |header| header.causation_id = "a\u{7f}".into()),
        ("kid", |header| header.kid = KeyId::new("log-0123456789abcdef")),
        ("kid", |header| header.kid = KeyId::new("")),
    ];
    for (field, change) in refused {
        let mut header = good();
        change(&mut header);
        assert!(matches!(header.validate(), Err(FormatError::Field { field: named, .. }) if named == field), "{field}");
        assert!(Header::decode(&header.encode()).is_err(), "{field}");
    }
    let mut longest = good();
    (longest.origin, longest.tenant, longest.plan) = ("o".repeat(255), "t".repeat(64), "p".repeat(255));
    (longest.event_type, longest.source, longest.actor) = ("t".repeat(255), "s".repeat(1024), "a".repeat(255));
    (longest.correlation_id, longest.causation_id) = ("c".repeat(255), "c".repeat(255));
    (longest.seq, longest.data_version) = ((1 << 53) - 1, (1 << 31) - 1);
    assert_eq!(longest.validate(), Ok(()));
    let leaf = Leaf { header: longest, mac: Vec::new(), sig: vec![0; 64] };
    assert_eq!(leaf.encode().len(), 2933, "the longest leaf of docs/spec/integrity.md#v2-leaf-size");
    assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf));
}

#[test]
fn an_origin_is_a_signed_note_key_name() {
    for origin in ["o", "bus.example/one", "~!\"", &"o".repeat(255)] {
        assert!(is_origin(origin), "{origin}");
    }
    for other in ["", "a b", "a+b", "é", "a\n", "\u{7f}", &"o".repeat(256)] {
        assert!(!is_origin(other), "{other:?}");
    }
}

#[test]
fn a_leaf_must_have_the_seal_of_its_suite() {
    let leaf =
        |mac: usize, sig: usize| Leaf::decode(&Leaf { header: good(), mac: vec![0; mac], sig: vec![0; sig] }.encode());
    assert!(leaf(0, 64).is_ok());
    assert_eq!([leaf(32, 0), leaf(32, 64), leaf(0, 0)], [const { Err(FormatError::Suite) }; 3]);
    assert!(matches!(leaf(0, 63), Err(FormatError::Field { .. })));
}

#[test]
fn ids_that_are_not_uuids_become_version_8() {
    let identity = event_id("acme", "urn:s", "A-1").unwrap();
    assert_eq!((identity.id.get_version_num(), identity.external.as_deref()), (8, Some("A-1")));
    assert_ne!(event_id("acme", "urn:t", "A-1").unwrap().id, identity.id);
    for (id, is_uuid) in [
        ("00000000-0000-0000-0000-000000000000", true),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", true),
        ("0190F3A4-7c1e-7d3b-8a55-0123456789ab", false),
        ("0190f3a47c1e7d3b8a550123456789ab", false),
        ("{0190f3a4-7c1e-7d3b-8a55-0123456789ab}", false),
        ("0190f3a4-7c1e-7d3b-8a55-0123456789ag", false),
        ("0190f3a47-c1e-7d3b-8a55-0123456789ab", false),
    ] {
        assert_eq!(event_id("t", "", id).unwrap().external.is_none(), is_uuid, "{id}");
    }
}

proptest! {
    #[test]
    fn a_header_round_trips(header in header()) {
        prop_assert_eq!(header.validate(), Ok(()));
        prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn no_two_headers_have_one_encoding(one in header(), mut other in header(), kept in any::<u32>()) {
        // Copy most fields, so that the two headers differ in few.
        let keep = |field: u32| kept >> field & 1 == 1;
        if keep(0) { other.origin.clone_from(&one.origin); }
        if keep(1) { other.tenant.clone_from(&one.tenant); }
        if keep(2) { other.plan.clone_from(&one.plan); }
        if keep(3) { other.source.clone_from(&one.source); }
        if keep(4) { other.actor.clone_from(&one.actor); }
        if keep(5) { other.correlation_id.clone_from(&one.correlation_id); }
        if keep(6) { other.causation_id.clone_from(&one.causation_id); }
        if keep(7) { other.kid = one.kid.clone(); }
        if keep(8) { (other.seq, other.event_id, other.event_type) = (one.seq, one.event_id, one.event_type.clone()); }
        if keep(9) { (other.occurred, other.recorded, other.data_version) = (one.occurred, one.recorded, one.data_version); }
        if keep(10) { (other.payload_hash, other.metadata_hash, other.prev) = (one.payload_hash, one.metadata_hash, one.prev); }
        if keep(11) { (other.payload_mode, other.payload_size) = (one.payload_mode, one.payload_size); }
        prop_assert_eq!(one.encode() == other.encode(), one == other);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(header in header(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = header.encode();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(decoded) = Header::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn cut_bytes_are_refused(header in header(), cut in any::<prop::sample::Index>()) {
        let bytes = header.encode();
        prop_assert!(Header::decode(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(Header::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        prop_assert!(Leaf::decode(&bytes).is_err());
    }
}
