//! The keyring file: what is accepted and refused, and that no secret is shown.

use sealbus_core::seal::{KeyKind, Keyring, KeyringError, PublicKey, Status, Window};
use serde_json::{Value, json};

use crate::common::{base64, chain};

const SECRET: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";

fn parse(keys: &[Value]) -> Result<Keyring, KeyringError> {
    Keyring::parse(&json!({ "keys": keys }).to_string())
}

fn hmac() -> Value {
    json!({ "id": "hmac-0123456789abcdef", "secret": base64(&SECRET) })
}

/// Returns the Ed25519 key of a development keyring.
fn ed25519(number: u8) -> Value {
    let random = std::array::from_fn(|index| u8::try_from(index).unwrap() ^ number);
    let file: Value = serde_json::from_str(&Keyring::generate_dev(&random).unwrap()).unwrap();
    file["keys"][0].clone()
}

fn with(mut key: Value, member: &str, value: Value) -> Value {
    key[member] = value;
    key
}

fn without(mut key: Value, member: &str) -> Value {
    key.as_object_mut().unwrap().remove(member);
    key
}

#[test]
fn a_key_may_be_given_in_part() {
    for key in [
        hmac(),
        without(hmac(), "secret"),
        ed25519(1),
        without(ed25519(1), "public"),
        without(ed25519(1), "secret"),
        with(ed25519(1), "status", json!("revoked")),
        json!({ "id": "v1-0123456789abcdef", "secret": base64(&SECRET) }),
        json!({ "id": "kek-0123456789abcdef", "secret": base64(&SECRET) }),
    ] {
        assert!(parse(std::slice::from_ref(&key)).is_ok(), "{key}");
    }
    let id = |key: &Value| sealbus_core::seal::KeyId::new(key["id"].as_str().unwrap());
    let pinned = with(with(ed25519(1), "from", json!(3)), "until", json!(9));
    let window = parse(std::slice::from_ref(&pinned)).unwrap().pinned(&id(&pinned));
    assert_eq!(window, Some(Window { from: 3, until: Some(9) }));
    assert_eq!(parse(&[hmac()]).unwrap().pinned(&id(&hmac())), Some(Window { from: 0, until: None }));
    assert_eq!(parse(&[]).unwrap().pinned(&id(&hmac())), None);
}

#[test]
fn faulty_keyrings_are_refused() {
    type Why = fn(&KeyringError) -> bool;
    let small_order = {
        let mut identity = [0; 32];
        identity[0] = 1;
        identity
    };
    let not_reduced = {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xf0, 0x7f);
        bytes
    };
    let public = |bytes: &[u8; 32]| with(without(ed25519(1), "secret"), "public", json!(base64(bytes)));
    let log_of = |key: Value| {
        let id = key["id"].as_str().unwrap().replace("ed25519-", "log-");
        with(key, "id", json!(id))
    };
    let cases: Vec<(&str, Vec<Value>, Why)> = vec![
        ("a malformed id", vec![with(hmac(), "id", json!("hmac-0123456789ABCDEF"))], |e| {
            matches!(e, KeyringError::Id { .. })
        }),
        ("an id of an unknown kind", vec![with(hmac(), "id", json!("aes-0123456789abcdef"))], |e| {
            matches!(e, KeyringError::Id { .. })
        }),
        ("a secret that is not base64", vec![with(hmac(), "secret", json!("!"))], |e| {
            matches!(e, KeyringError::Base64 { .. })
        }),
        ("base64 without padding", vec![with(hmac(), "secret", json!(base64(&SECRET).trim_end_matches('=')))], |e| {
            matches!(e, KeyringError::Base64 { .. })
        }),
        ("base64 with bits left over", vec![with(hmac(), "secret", json!(base64(&SECRET).replace("Y=", "Z=")))], |e| {
            matches!(e, KeyringError::Base64 { .. })
        }),
        ("a short secret", vec![with(hmac(), "secret", json!(base64(&SECRET[..31])))], |e| {
            matches!(e, KeyringError::WeakSecret { .. })
        }),
        (
            "a secret with few distinct bytes",
            vec![with(hmac(), "secret", json!(base64(b"0123456012345601234560123456012345601234")))],
            |e| matches!(e, KeyringError::WeakSecret { .. }),
        ),
        (
            "a seed of 40 bytes",
            vec![with(ed25519(1), "secret", json!(base64(&[SECRET.as_slice(), b"01234567"].concat())))],
            |e| matches!(e, KeyringError::SecretLength { .. }),
        ),
        ("an Ed25519 key with an id only", vec![without(without(ed25519(1), "secret"), "public")], |e| {
            matches!(e, KeyringError::Empty { .. })
        }),
        ("a v1 key without its secret", vec![json!({ "id": "v1-0123456789abcdef" })], |e| {
            matches!(e, KeyringError::Empty { .. })
        }),
        ("a public key of an hmac key", vec![with(hmac(), "public", json!(base64(&SECRET)))], |e| {
            matches!(e, KeyringError::PublicNotWanted { .. })
        }),
        ("a public key of small order", vec![public(&small_order)], |e| matches!(e, KeyringError::Public { .. })),
        ("a public key not below the prime", vec![public(&not_reduced)], |e| matches!(e, KeyringError::Public { .. })),
        (
            "a public key of 31 bytes",
            vec![with(without(ed25519(1), "secret"), "public", json!(base64(&SECRET[..31])))],
            |e| matches!(e, KeyringError::Public { .. }),
        ),
        ("the id of another key", vec![with(ed25519(1), "id", ed25519(2)["id"].clone())], |e| {
            matches!(e, KeyringError::IdOfOtherKey { .. })
        }),
        ("the public key of another key", vec![with(ed25519(1), "public", ed25519(2)["public"].clone())], |e| {
            matches!(e, KeyringError::PublicOfOtherSecret { .. })
        }),
        (
            "one id twice",
            vec![hmac(), with(hmac(), "secret", json!(base64(b"vutsrqponmlkjihgfedcba9876543210")))],
            |e| matches!(e, KeyringError::Shared { .. }),
        ),
        ("one secret twice", vec![hmac(), with(hmac(), "id", json!("v1-0123456789abcdef"))], |e| {
            matches!(e, KeyringError::Shared { .. })
        }),
        ("one public key twice", vec![ed25519(1), log_of(without(ed25519(1), "secret"))], |e| {
            matches!(e, KeyringError::Shared { .. })
        }),
        ("an unknown member", vec![with(hmac(), "scret", json!("x"))], |e| matches!(e, KeyringError::Syntax { .. })),
        ("an unknown status", vec![with(hmac(), "status", json!("lost"))], |e| {
            matches!(e, KeyringError::Syntax { .. })
        }),
        ("a number for an id", vec![with(hmac(), "id", json!(1))], |e| matches!(e, KeyringError::Syntax { .. })),
    ];
    for (what, keys, why) in cases {
        let refused = parse(&keys).expect_err(what);
        assert!(why(&refused), "{what}: {refused:?}");
    }
    for text in
        ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[],\"more\":1}", "{\"keys\":[]} x", "{\"keys\":[],\"keys\":[]}"]
    {
        assert!(matches!(Keyring::parse(text), Err(KeyringError::Syntax { .. })), "{text}");
    }
}

#[test]
fn exactly_one_key_signs() {
    let retired = |key| with(key, "status", json!("retired"));
    assert!(matches!(parse(&[]).unwrap().signer(), Err(KeyringError::NoActiveKey { .. })));
    assert!(matches!(parse(&[retired(hmac())]).unwrap().signer(), Err(KeyringError::NoActiveKey { .. })));
    assert!(matches!(parse(&[hmac(), ed25519(1)]).unwrap().signer(), Err(KeyringError::ManyActiveKeys { .. })));
    let public = without(ed25519(1), "secret");
    assert!(matches!(parse(&[public]).unwrap().signer(), Err(KeyringError::NoSecret { .. })));
    assert_eq!(
        parse(&[hmac(), retired(ed25519(1))]).unwrap().signer().unwrap().kid().as_str(),
        "hmac-0123456789abcdef"
    );
    assert_eq!(parse(&[ed25519(1), retired(ed25519(2))]).unwrap().signer().unwrap().kid().as_str(), ed25519(1)["id"]);
    assert!(parse(&[ed25519(1)]).unwrap().v1_signer().is_none());
    assert_eq!(Status::default(), Status::Active);
}

#[test]
fn no_secret_is_shown() {
    let keyring = chain::keyring(1);
    let random: [u8; 72] = std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(7) ^ 1);
    let secrets =
        [base64(&random[..32]), base64(&random[32..64]), hex::encode(&random[..32]), format!("{:?}", &random[..4])];
    let signer = keyring.signer().unwrap();
    let shown = format!("{keyring:?} {signer:?} {:?} {:#?}", keyring.v1_signer(), keyring.to_public_json());
    // Error messages must not show a secret either, even if it is in the wrong member.
    let secret = base64(&SECRET);
    let refused = [
        with(hmac(), "from", json!(secret)),
        with(hmac(), "status", json!(secret)),
        with(hmac(), "secret", json!(format!("{secret}!"))),
        with(hmac(), "secret", json!([secret])),
        with(hmac(), &secret, json!(1)),
        with(hmac(), "public", json!(secret)),
    ]
    .map(|key| parse(&[key]).unwrap_err());
    let messages: Vec<String> = refused.iter().map(|refused| format!("{refused} {refused:?}")).chain([shown]).collect();
    let messages = messages.concat();
    for shown in secrets.iter().chain([&secret]) {
        assert!(!messages.contains(shown.as_str()), "{shown} in {messages}");
    }
}

#[test]
fn a_development_keyring_is_deterministic() {
    let random = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let json = Keyring::generate_dev(&random).unwrap();
    assert_eq!(json, Keyring::generate_dev(&random).unwrap());
    let keyring = Keyring::parse(&json).unwrap();
    assert!(keyring.signer().is_ok() && keyring.v1_signer().is_some() && keyring.wraps_data_keys());
    assert!(matches!(Keyring::generate_dev(&[7; 144]), Err(KeyringError::WeakSecret { .. })));
}

#[test]
fn a_kek_key_is_added_to_an_older_keyring_once() {
    let older = json!({ "keys": [hmac()] }).to_string();
    assert!(!Keyring::parse(&older).unwrap().wraps_data_keys());
    let random = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let with_kek = Keyring::with_kek(&older, &random).unwrap();
    let keyring = Keyring::parse(&with_kek).unwrap();
    assert!(keyring.wraps_data_keys() && keyring.signer().is_ok());
    assert_eq!(Keyring::with_kek(&with_kek, &[7; 40]).unwrap(), with_kek);
    assert!(matches!(Keyring::with_kek(&older, &[7; 40]), Err(KeyringError::WeakSecret { .. })));
}

#[test]
fn a_keyring_of_one_key_pair_can_be_generated() {
    for kind in [KeyKind::Ed25519, KeyKind::Log, KeyKind::Witness] {
        let keyring = Keyring::parse(&Keyring::generate(kind, &SECRET).unwrap()).unwrap();
        assert!(keyring.public_keys(kind).eq([&PublicKey::of_seed(&SECRET)]));
        assert!(matches!(Keyring::generate(kind, &[7; 32]), Err(KeyringError::WeakSecret { .. })));
    }
    for kind in [KeyKind::Hmac, KeyKind::V1, KeyKind::Kek] {
        assert!(matches!(Keyring::generate(kind, &SECRET), Err(KeyringError::PublicNotWanted { .. })));
    }
}

#[test]
fn both_libraries_make_the_same_signatures() {
    for number in 0..32 {
        let signer = chain::keyring(number).signer().unwrap();
        let record = chain::next(&signer, "acme", "order-1", None, &json!({ "n": number }));
        let seed = std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(7) ^ number);
        let message = sealbus_core::seal::signature_message(signer.kid(), &record.event_hash);
        let dalek = ed25519_dalek::Signer::sign(&ed25519_dalek::SigningKey::from_bytes(&seed), &message);
        assert_eq!(record.sig, dalek.to_bytes());
        assert!(PublicKey::of_seed(&seed).verifies(&message, &record.sig));
    }
}

#[test]
fn a_request_mac_depends_on_key_origin_tenant_and_request() {
    let keyring = chain::keyring(1);
    let signer = keyring.signer().unwrap();
    let mac = signer.request_mac("o", "acme", b"{}");
    assert_eq!(keyring.request_mac(signer.kid(), "o", "acme", b"{}"), Some(mac));
    let public_only = Keyring::parse(&keyring.to_public_json()).unwrap();
    assert_eq!(public_only.request_mac(signer.kid(), "o", "acme", b"{}"), None);
    let others = [
        signer.request_mac("o", "acm", b"e{}"),
        signer.request_mac("oa", "cme", b"{}"),
        signer.request_mac("o", "acme", b"{ }"),
        chain::keyring(2).signer().unwrap().request_mac("o", "acme", b"{}"),
    ];
    assert!(!others.contains(&mac));
}
