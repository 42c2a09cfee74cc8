//! Key windows: the events of plan `_keys`, and the limits in the pinned keyring.

use sealbus_core::event::Record;
use sealbus_core::seal::{Keyring, Signer};
use sealbus_core::verify::{Trust, Verdict};
use serde_json::json;

use crate::common;
use crate::common::chain::{ORIGIN, findings, first_key, hmac_keyring, keyring, next, next_of_type, plan};

#[test]
fn the_suite_of_a_plan_must_not_fall() {
    let (weak, strong) = (hmac_keyring().signer().unwrap(), keyring(1).signer().unwrap());
    let both = both_keys();
    let mut records = vec![next(&weak, "acme", "order-1", None, &json!(1))];
    records.push(next(&strong, "acme", "order-1", records.last(), &json!(2)));
    assert_eq!(findings(&both, &records), []);
    records.push(next(&weak, "acme", "order-1", records.last(), &json!(3)));
    assert_eq!(findings(&both, &records), [(Verdict::Suite, 3)]);
}

/// Returns the trust in an Ed25519 key and in an HMAC key that was added under it.
fn both_keys() -> Trust {
    let (ed, hmac) = (keyring(1), hmac_keyring());
    let first = first_key(&ed.signer().unwrap());
    let added = hmac.signer().unwrap().key_added(ORIGIN, ed.signer().unwrap().kid());
    let second = next_of_type(
        &ed.signer().unwrap(),
        "_system",
        "_keys",
        Some(&first),
        "key.added",
        &serde_json::from_str(&added).unwrap(),
    );
    Trust::new(ORIGIN, pinned(&[1], true), [&first, &Record { log_index: Some(1), ..second }], 100)
}

/// Returns a keyring with the Ed25519 keys of these numbers, without secrets, and optionally the HMAC key.
fn pinned(numbers: &[u8], hmac: bool) -> Keyring {
    let mut keys: Vec<_> = numbers
        .iter()
        .map(|number| {
            let added = keyring(*number).signer().unwrap().key_added(ORIGIN, keyring(*number).signer().unwrap().kid());
            let added: serde_json::Value = serde_json::from_str(&added).unwrap();
            json!({ "id": added["kid"], "public": added["public"] })
        })
        .collect();
    if hmac {
        let secret = common::base64(&std::array::from_fn::<u8, 40, _>(|index| u8::try_from(index).unwrap()));
        keys.push(json!({ "id": "hmac-0123456789abcdef", "secret": secret }));
    }
    Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

#[test]
fn a_key_counts_from_its_leaf_and_until_it_is_retired() {
    let (old, new) = (keyring(1).signer().unwrap(), keyring(2).signer().unwrap());
    let first = first_key(&old);
    let added = serde_json::from_str(&new.key_added(ORIGIN, old.kid())).unwrap();
    let second = next_of_type(&old, "_system", "_keys", Some(&first), "key.added", &added);
    let second = Record { log_index: Some(10), ..second };
    let retired = json!({ "kid": old.kid(), "until": 5 });
    let third = next_of_type(&new, "_system", "_keys", Some(&second), "key.retired", &retired);
    let third = Record { log_index: Some(20), ..third };
    let trust = Trust::new(ORIGIN, pinned(&[1, 2], false), [&first, &second, &third], 30);

    let verdict_at = |signer: &Signer, index: Option<u64>| {
        let record = Record { log_index: index, ..next(signer, "acme", "order-1", None, &json!(1)) };
        findings(&trust, &[record]).first().map(|finding| finding.0)
    };
    let late = Some(Verdict::KeyWindow);
    let of_old = [Some(0), Some(19), Some(20), None].map(|index| verdict_at(&old, index));
    assert_eq!(of_old, [None, None, late, late]);
    let of_new = [Some(9), Some(10), None].map(|index| verdict_at(&new, index));
    assert_eq!(of_new, [late, None, None]);
    assert_eq!(verdict_at(&keyring(3).signer().unwrap(), Some(0)), Some(Verdict::UntrustedKey));
}

#[test]
fn an_end_without_a_log_index_counts_from_its_own_leaf() {
    let (old, new) = (keyring(1).signer().unwrap(), keyring(2).signer().unwrap());
    let first = first_key(&old);
    let added = serde_json::from_str(&new.key_added(ORIGIN, old.kid())).unwrap();
    let second =
        Record { log_index: Some(10), ..next_of_type(&old, "_system", "_keys", Some(&first), "key.added", &added) };
    for until in [json!(null), json!("25"), json!(-1), json!(25.5)] {
        let ended = json!({ "kid": old.kid(), "until": until });
        let third = next_of_type(&new, "_system", "_keys", Some(&second), "key.retired", &ended);
        let third = Record { log_index: Some(20), ..third };
        let trust = Trust::new(ORIGIN, pinned(&[1, 2], false), [&first, &second, &third], 30);
        assert_eq!(trust.window(old.kid()).unwrap().until, Some(20), "{until}");
    }
}

#[test]
fn a_key_without_a_valid_key_added_event_has_no_window() {
    let (old, new) = (keyring(1).signer().unwrap(), keyring(2).signer().unwrap());
    let first = first_key(&old);
    let event = Record { log_index: Some(50), ..next(&new, "acme", "order-1", None, &json!(1)) };
    let verdict_with = |second: Record| {
        let trust = Trust::new(ORIGIN, pinned(&[1, 2], false), [&first, &second], 100);
        findings(&trust, std::slice::from_ref(&event)).first().map(|finding| finding.0)
    };
    let added = |payload: &str, by: &Signer| Record {
        log_index: Some(10),
        ..next_of_type(by, "_system", "_keys", Some(&first), "key.added", &serde_json::from_str(payload).unwrap())
    };
    let good = added(&new.key_added(ORIGIN, old.kid()), &old);
    assert_eq!(verdict_with(good.clone()), None);
    assert_eq!(
        verdict_with(Record { log_index: None, ..good.clone() }),
        Some(Verdict::KeyWindow),
        "an unsealed key.added counted"
    );
    let other_origin = added(&new.key_added("bus.test/two", old.kid()), &old);
    assert_eq!(verdict_with(other_origin), Some(Verdict::KeyWindow), "a proof for another origin counted");
    let other_by = added(&new.key_added(ORIGIN, new.kid()), &old);
    assert_eq!(verdict_with(other_by), Some(Verdict::KeyWindow), "a proof for another sealing key counted");
    let by_itself = added(&new.key_added(ORIGIN, new.kid()), &new);
    assert_eq!(verdict_with(by_itself), Some(Verdict::KeyWindow), "a later key added itself");
    let mut edited = good.clone();
    edited.header.seq = 3;
    assert_eq!(verdict_with(edited), Some(Verdict::KeyWindow), "an edited key.added counted");
    let elsewhere = Record {
        log_index: Some(10),
        ..next_of_type(
            &old,
            "acme",
            "_keys",
            Some(&first),
            "key.added",
            &serde_json::from_str(&new.key_added(ORIGIN, old.kid())).unwrap(),
        )
    };
    assert_eq!(verdict_with(elsewhere), Some(Verdict::KeyWindow), "an event of another tenant counted");
}

#[test]
fn the_first_key_counts_before_its_event_is_sealed() {
    let keyring = keyring(1);
    let signer = keyring.signer().unwrap();
    let first = Record { log_index: None, ..first_key(&signer) };
    let trust = Trust::new(ORIGIN, keyring, [&first], 0);
    assert_eq!(findings(&trust, &plan(&signer, "acme", "order-1", 2)), []);
}

#[test]
fn a_window_from_the_log_is_narrowed_by_the_pin() {
    let (old, new) = (keyring(1).signer().unwrap(), keyring(2).signer().unwrap());
    let first = first_key(&old);
    let added = serde_json::from_str(&new.key_added(ORIGIN, old.kid())).unwrap();
    let second = next_of_type(&old, "_system", "_keys", Some(&first), "key.added", &added);
    let second = Record { log_index: Some(10), ..second };
    let revoked = json!({ "kid": old.kid(), "until": 5, "reason": "stolen" });
    let third = next_of_type(&new, "_system", "_keys", Some(&second), "key.revoked", &revoked);
    let third = Record { log_index: Some(20), ..third };
    let windows = |keyring: Keyring| {
        let trust = Trust::new(ORIGIN, keyring, [&first, &second, &third], 30);
        [&old, &new].map(|signer| trust.window(signer.kid()).map(|window| (window.from, window.until)))
    };
    assert_eq!(
        windows(pinned(&[1, 2], false)),
        [Some((0, Some(20))), Some((10, None))],
        "an end that reaches back counted before its leaf"
    );
    assert_eq!(windows(pinned(&[1], false)), [Some((0, None)), None], "an event of a key that is not pinned counted");

    let entry = |signer: &Signer, until: serde_json::Value| {
        let added: serde_json::Value = serde_json::from_str(&signer.key_added(ORIGIN, signer.kid())).unwrap();
        json!({ "id": added["kid"], "public": added["public"], "until": until })
    };
    let pinned_until = |until: u64| {
        let pinned = json!({ "keys": [entry(&old, json!(until)), entry(&new, json!(null))] }).to_string();
        windows(Keyring::parse(&pinned).unwrap())
    };
    assert_eq!(pinned_until(15), [Some((0, Some(15))), Some((10, None))], "the pinned end did not count");
    assert_eq!(pinned_until(10), [Some((0, Some(10))), None], "the pinned end also ends what the key added after it");
}

/// The window of a key starts and ends at the leaves of its events, or at a later `until`.
#[test]
fn a_window_starts_and_ends_at_the_leaves_of_its_events() {
    let (old, new) = (keyring(1).signer().unwrap(), keyring(2).signer().unwrap());
    let first = first_key(&old);
    let added = serde_json::from_str(&new.key_added(ORIGIN, old.kid())).unwrap();
    let second = next_of_type(&old, "_system", "_keys", Some(&first), "key.added", &added);
    let second = Record { log_index: Some(10), ..second };
    let late = json!({ "kid": old.kid(), "until": 40 });
    let third =
        Record { log_index: Some(20), ..next_of_type(&new, "_system", "_keys", Some(&second), "key.retired", &late) };
    let trust = Trust::new(ORIGIN, pinned(&[1, 2], false), [&first, &second, &third], 50);
    let verdict_at = |signer: &Signer, index: u64| {
        let record = Record { log_index: Some(index), ..next(signer, "acme", "order-1", None, &json!(1)) };
        findings(&trust, &[record]).first().map(|finding| finding.0)
    };
    let outside = Some(Verdict::KeyWindow);
    assert_eq!([0, 9, 10, 11].map(|index| verdict_at(&new, index)), [outside, outside, None, None]);
    assert_eq!([39, 40].map(|index| verdict_at(&old, index)), [None, outside], "a later until did not count");
}

/// A deployment that started with MACs can switch to signatures, also in plan `_keys`.
#[test]
fn an_hmac_key_can_be_followed_by_an_ed25519_key() {
    let (old, new) = (hmac_keyring(), keyring(1));
    let (old_signer, new_signer) = (old.signer().unwrap(), new.signer().unwrap());
    let first = first_key(&old_signer);
    let added = serde_json::from_str(&new_signer.key_added(ORIGIN, old_signer.kid())).unwrap();
    let second = next_of_type(&old_signer, "_system", "_keys", Some(&first), "key.added", &added);
    let second = Record { log_index: Some(1), ..second };
    let retired = json!({ "kid": old_signer.kid(), "until": 2 });
    let third = next_of_type(&new_signer, "_system", "_keys", Some(&second), "key.retired", &retired);
    let third = Record { log_index: Some(3), ..third };
    let trust = Trust::new(ORIGIN, pinned(&[1], true), [&first, &second, &third], 10);
    let mut records = vec![Record { log_index: Some(2), ..next(&old_signer, "acme", "order-1", None, &json!(1)) }];
    let after = Record { log_index: Some(4), ..next(&new_signer, "acme", "order-1", records.last(), &json!(2)) };
    records.push(after);
    assert_eq!(findings(&trust, &records), []);
    let back = Record { log_index: Some(5), ..next(&old_signer, "acme", "order-1", records.last(), &json!(3)) };
    records.push(back);
    assert_eq!(findings(&trust, &records), [(Verdict::Suite, 3)]);
}
