//! Key windows: the events of plan `_keys`, and the limits in the pinned keyring.

use sealbus_core::event::Record;
use sealbus_core::seal::{Keyring, Signer};
use sealbus_core::verify::{Trust, Verdict};
use serde_json::{Value, json};

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
            let added: Value = serde_json::from_str(&added).unwrap();
            json!({ "id": added["kid"], "public": added["public"] })
        })
        .collect();
    if hmac {
        let secret = common::base64(&std::array::from_fn::<u8, 40, _>(|index| u8::try_from(index).unwrap()));
        keys.push(json!({ "id": "hmac-0123456789abcdef", "secret": secret }));
    }
    Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

/// Returns the events of plan `_keys` in which a key adds itself and a new one, and in which the new one ends it by an event of this
/// type. The new key is added at the first of the log indexes, the old one ended at the second.
fn replaced(old: &Signer, new: &Signer, [added_at, ended_at]: [u64; 2], end_type: &str, end: &Value) -> [Record; 3] {
    let event = |by, before, event_type: &str, data, index| {
        let event = next_of_type(by, "_system", "_keys", Some(before), event_type, data);
        Record { log_index: Some(index), ..event }
    };
    let first = first_key(old);
    let added: Value = serde_json::from_str(&new.key_added(ORIGIN, old.kid())).unwrap();
    let second = event(old, &first, "key.added", &added, added_at);
    let third = event(new, &second, end_type, end, ended_at);
    [first, second, third]
}

/// Returns the verdict about an event that is sealed with this key and has this log index.
fn verdict_at(trust: &Trust, signer: &Signer, log_index: Option<u64>) -> Option<Verdict> {
    let record = Record { log_index, ..next(signer, "acme", "order-1", None, &json!(1)) };
    findings(trust, &[record]).first().map(|finding| finding.0)
}

#[test]
fn a_key_counts_from_its_leaf_and_until_it_is_retired() {
    let (old, new) = (keyring(1).signer().unwrap(), keyring(2).signer().unwrap());
    let events = replaced(&old, &new, [10, 20], "key.retired", &json!({ "kid": old.kid(), "until": 5 }));
    let trust = Trust::new(ORIGIN, pinned(&[1, 2], false), &events, 30);

    let late = Some(Verdict::KeyWindow);
    let of_old = [Some(0), Some(19), Some(20), None].map(|index| verdict_at(&trust, &old, index));
    assert_eq!(of_old, [None, None, late, late]);
    let of_new = [Some(9), Some(10), None].map(|index| verdict_at(&trust, &new, index));
    assert_eq!(of_new, [late, None, None]);
    assert_eq!(verdict_at(&trust, &keyring(3).signer().unwrap(), Some(0)), Some(Verdict::UntrustedKey));
}

#[test]
fn an_end_without_a_log_index_counts_from_its_own_leaf() {
    let (old, new) = (keyring(1).signer().unwrap(), keyring(2).signer().unwrap());
    for until in [json!(null), json!("25"), json!(-1), json!(25.5)] {
        let ended = json!({ "kid": old.kid(), "until": until });
        let events = replaced(&old, &new, [10, 20], "key.retired", &ended);
        let trust = Trust::new(ORIGIN, pinned(&[1, 2], false), &events, 30);
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
    let revoked = json!({ "kid": old.kid(), "until": 5, "reason": "stolen" });
    let events = replaced(&old, &new, [10, 20], "key.revoked", &revoked);
    let windows = |keyring: Keyring| {
        let trust = Trust::new(ORIGIN, keyring, &events, 30);
        [&old, &new].map(|signer| trust.window(signer.kid()).map(|window| (window.from, window.until)))
    };
    assert_eq!(
        windows(pinned(&[1, 2], false)),
        [Some((0, Some(20))), Some((10, None))],
        "an end that reaches back counted before its leaf"
    );
    assert_eq!(windows(pinned(&[1], false)), [Some((0, None)), None], "an event of a key that is not pinned counted");

    let entry = |signer: &Signer, until: Value| {
        let added: Value = serde_json::from_str(&signer.key_added(ORIGIN, signer.kid())).unwrap();
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
    let events = replaced(&old, &new, [10, 20], "key.retired", &json!({ "kid": old.kid(), "until": 40 }));
    let trust = Trust::new(ORIGIN, pinned(&[1, 2], false), &events, 50);
    let outside = Some(Verdict::KeyWindow);
    assert_eq!([0, 9, 10, 11].map(|index| verdict_at(&trust, &new, Some(index))), [outside, outside, None, None]);
    assert_eq!(
        [39, 40].map(|index| verdict_at(&trust, &old, Some(index))),
        [None, outside],
        "a later until did not count"
    );
}

/// A deployment that started with MACs can switch to signatures, also in plan `_keys`.
#[test]
fn an_hmac_key_can_be_followed_by_an_ed25519_key() {
    let (old, new) = (hmac_keyring(), keyring(1));
    let (old_signer, new_signer) = (old.signer().unwrap(), new.signer().unwrap());
    let retired = json!({ "kid": old_signer.kid(), "until": 2 });
    let trust = Trust::new(
        ORIGIN,
        pinned(&[1], true),
        &replaced(&old_signer, &new_signer, [1, 3], "key.retired", &retired),
        10,
    );
    let mut records = vec![Record { log_index: Some(2), ..next(&old_signer, "acme", "order-1", None, &json!(1)) }];
    let after = Record { log_index: Some(4), ..next(&new_signer, "acme", "order-1", records.last(), &json!(2)) };
    records.push(after);
    assert_eq!(findings(&trust, &records), []);
    let back = Record { log_index: Some(5), ..next(&old_signer, "acme", "order-1", records.last(), &json!(3)) };
    records.push(back);
    assert_eq!(findings(&trust, &records), [(Verdict::Suite, 3)]);
}
