//! Changes of a keyring file: everything else stays the same byte for byte.

use proptest::prelude::*;
use sealbus_core::seal::{KeyId, KeyKind, Keyring, KeyringError, KeyringText, NewKey, Status};
use zeroize::Zeroizing;

/// Returns 40 bytes that depend on `number`.
fn random(number: u8) -> [u8; 40] {
    std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(7) ^ number)
}

fn key(kind: KeyKind, number: u8, status: Status) -> NewKey {
    NewKey::new(kind, &random(number), status).unwrap()
}

fn text(json: &str) -> KeyringText {
    KeyringText::new(Zeroizing::new(json.to_owned())).unwrap()
}

#[test]
fn a_key_of_every_kind_can_be_generated() {
    for kind in [KeyKind::Hmac, KeyKind::Ed25519, KeyKind::V1, KeyKind::Kek, KeyKind::Log, KeyKind::Witness] {
        let made = key(kind, 1, Status::Retired);
        let keyring = Keyring::parse(&made.keyring()).unwrap();
        let held: Vec<_> = keyring.keys().collect();
        assert_eq!((held.len(), held[0].id, held[0].kind), (1, made.id(), kind));
        assert_eq!((held[0].status, held[0].has_secret), (Status::Retired, true));
        assert_eq!((held[0].public, held[0].public.is_some()), (made.public(), kind.has_public()));
        assert!(matches!(NewKey::new(kind, &[7; 40], Status::Active), Err(KeyringError::WeakSecret { .. })));
    }
}

#[test]
fn changing_a_status_leaves_the_rest_unchanged() {
    let (one, two) = (key(KeyKind::Ed25519, 1, Status::Active), key(KeyKind::Ed25519, 2, Status::Retired));
    let mut text = text(&one.keyring());
    text.add(&two);
    let before = text.as_str().to_owned();
    assert!(text.holds(one.id()) && text.holds(two.id()));
    assert_eq!(Keyring::of_texts([&text]).unwrap().signer().unwrap().kid(), one.id());

    assert!(text.set_status(one.id(), Status::Retired) && text.set_status(two.id(), Status::Active));
    assert_eq!(Keyring::of_texts([&text]).unwrap().signer().unwrap().kid(), two.id());
    assert!(text.set_status(one.id(), Status::Active) && text.set_status(two.id(), Status::Retired));
    assert_eq!(text.as_str(), before);
    assert!(!text.set_status(&KeyId::new("ed25519-0000000000000000"), Status::Active));
    assert_eq!(text.as_str(), before);
}

#[test]
fn hand_written_formatting_is_preserved() {
    let by_hand = concat!(
        "{\n\t\"keys\" : [ {\"status\":\"retired\" ,",
        " \"id\": \"hmac-0123456789abcdef\" },\n  { \"until\":null, \"secret\" : \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\", ",
        "\"\\u0069d\":\"kek-0123456789abcdef\" } ]\n\n}"
    );
    let mut changed = text(by_hand);
    let (hmac, kek) = (KeyId::new("hmac-0123456789abcdef"), KeyId::new("kek-0123456789abcdef"));
    assert!(changed.set_status(&hmac, Status::Revoked));
    assert_eq!(changed.as_str(), by_hand.replace("\"retired\"", "\"revoked\""));
    assert!(changed.set_until(&kek, 7));
    let expected = by_hand.replace("\"retired\"", "\"revoked\"").replace("null", "7");
    assert_eq!(changed.as_str(), expected);
    assert!(changed.set_status(&kek, Status::Retired), "a status that was absent was not added");
    let expected = expected.replace("\"kek-0123456789abcdef\"", "\"kek-0123456789abcdef\", \"status\": \"retired\"");
    assert_eq!(changed.as_str(), expected);
    let keyring = Keyring::of_texts([&changed]).unwrap();
    let read: Vec<_> = keyring.keys().map(|key| (key.id.clone(), key.status, key.pinned.until)).collect();
    assert_eq!(read, [(hmac, Status::Revoked, None), (kek, Status::Retired, Some(7))]);
}

#[test]
fn a_key_can_be_added_to_an_empty_keyring() {
    let made = key(KeyKind::Kek, 3, Status::Active);
    let mut text = text("{\"keys\":[ ]}");
    text.add(&made);
    assert!(text.holds(made.id()));
    assert_eq!(Keyring::of_texts([&text]).unwrap().keys().count(), 1);
}

#[test]
fn malformed_keyrings_are_refused() {
    for json in [
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"keys\":[{\"id\":\"a\",\"id\":\"b\"}]}",
        "{\"keys\":[]} x",
    ] {
        assert!(KeyringText::new(Zeroizing::new(json.to_owned())).is_err(), "{json}");
    }
}

proptest! {
    #[test]
    fn any_sequence_of_changes_results_in_the_requested_keys(changes in prop::collection::vec((0_u8..6, 0_u8..3), 0..20)) {
        let mut text = text("{\"keys\":[]}");
        let mut expected: Vec<(KeyId, Status)> = Vec::new();
        for (number, status) in changes {
            let status = [Status::Active, Status::Retired, Status::Revoked][usize::from(status)];
            let made = key(KeyKind::Ed25519, number, status);
            if let Some(known) = expected.iter_mut().find(|(id, _)| id == made.id()) {
                prop_assert!(text.set_status(made.id(), status));
                known.1 = status;
            } else {
                prop_assert!(!text.set_status(made.id(), status));
                text.add(&made);
                expected.push((made.id().clone(), status));
            }
            let read = Keyring::of_texts([&text]).unwrap();
            prop_assert!(read.keys().map(|key| (key.id.clone(), key.status)).eq(expected.iter().cloned()));
        }
    }
}
