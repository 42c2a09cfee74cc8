//! The form of an envelope and of its plaintext, and everything that is refused.

use sealbus_core::canonical::{MAX_METADATA, MAX_PAYLOAD};
use sealbus_core::envelope::{Envelope, Plaintext, Unopened};
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::verify::Verdict;
use serde_json::{Value, json};

use crate::common::envelope::{EVENT, envelope, key, plaintext};
use crate::common::{base64, chain, text, unbase64};

/// The envelope of `docs/spec/integrity.md#erasure-envelope`, made by an independent implementation in another
/// language.
const PINNED: &str = r#"{"ciphertext":"T52yyyJCtHkhgVm/ZhJ73ONJQ4IXu2KkyRiYst/C2gkSfawrvY2XJ9DF398Jv+vGUICnS/4rmlYNZnI+Uy+TOPFawsq/","commitment":"aD4TS3MN/D98+Mvb5U0RyxEYiShWR5Go6A98iRCgHyY=","key":"00000000-0000-0000-0000-000000000001","nonce":"ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7","scheme":"sealbus/envelope/v2"}"#;

#[test]
fn an_envelope_has_one_text() {
    assert_eq!(Envelope::parse(&envelope().to_string()).unwrap().to_text(), PINNED);
    assert_eq!(Envelope::parse(PINNED).unwrap().open(&key(0), &EVENT), Ok(plaintext()));
}

#[test]
fn an_envelope_may_be_respelled_by_a_database() {
    let tree = envelope();
    let members = tree.as_object().unwrap().iter().rev();
    let members: Vec<String> = members.map(|(name, value)| format!("{name:?} :\t{value}")).collect();
    for text in [
        serde_json::to_string_pretty(&tree).unwrap(),
        format!(" {{{}}}\n", members.join(", ")),
        PINNED.replace('/', "\\/").replace("\"key\"", "\"\\u006bey\""),
    ] {
        assert_eq!(Envelope::parse(&text).unwrap().to_text(), PINNED, "{text}");
    }
}

#[test]
fn malformed_envelopes_are_refused() {
    let with = |member: &str, value: Value| {
        let mut envelope = envelope();
        envelope[member] = value;
        envelope.to_string()
    };
    let part = |member: &str| text(&envelope(), member).to_owned();
    let cut = |member: &str, bytes: usize| with(member, json!(base64(&unbase64(&part(member))[..bytes])));
    let longer = |member: &str| with(member, json!(base64(&[unbase64(&part(member)), vec![0]].concat())));
    let without = |member: &str| {
        let mut envelope = envelope();
        envelope.as_object_mut().unwrap().remove(member);
        envelope.to_string()
    };
    let mut cases = vec![
        ("a member more", with("kid", json!("x"))),
        ("a null member more", with("kid", json!(null))),
        ("a nested member", with("extra", json!({ "a": "b" }))),
        ("a member twice", PINNED.replacen('{', r#"{"scheme":"sealbus/envelope/v2","#, 1)),
        ("text after it", format!("{PINNED}{{}}")),
        ("a byte order mark", format!("\u{feff}{PINNED}")),
        ("an empty text", String::new()),
        ("null", "null".into()),
        ("an array", format!("[{PINNED}]")),
        ("a string", json!(PINNED).to_string()),
        ("the previous scheme", with("scheme", json!("sealbus/envelope/v1"))),
        ("the scheme in upper case", with("scheme", json!("Sealbus/envelope/v2"))),
        ("a short nonce", cut("nonce", 23)),
        ("a long nonce", longer("nonce")),
        ("a short commitment", cut("commitment", 31)),
        ("a long commitment", longer("commitment")),
        ("no ciphertext", cut("ciphertext", 0)),
        ("a ciphertext shorter than a tag", cut("ciphertext", 15)),
        ("base64url", with("commitment", json!(part("commitment").replace('/', "_")))),
        ("base64 without padding", with("commitment", json!(part("commitment").trim_end_matches('=')))),
        ("base64 padded too much", with("nonce", json!(format!("{}=", part("nonce"))))),
        ("base64 with bits left over", with("commitment", json!(part("commitment").replace("yY=", "yZ=")))),
        ("base64 with a line break", with("nonce", json!(format!("{}\n", part("nonce"))))),
        ("base64 with a space before", with("ciphertext", json!(format!(" {}", part("ciphertext"))))),
        ("a key in upper case", with("key", json!("0000000A-0000-0000-0000-000000000001"))),
        ("a key without hyphens", with("key", json!("00000000000000000000000000000001"))),
        ("a key in braces", with("key", json!("{00000000-0000-0000-0000-000000000001}"))),
        ("a key as a URN", with("key", json!("urn:uuid:00000000-0000-0000-0000-000000000001"))),
    ];
    for member in ["ciphertext", "commitment", "key", "nonce", "scheme"] {
        cases.push((member, without(member)));
        for other in [json!(null), json!(1), json!([]), json!({}), json!("")] {
            cases.push((member, with(member, other)));
        }
    }
    for (what, text) in cases {
        assert_ne!(text, PINNED, "{what}");
        let refused = Envelope::parse(&text).map(|_| text).expect_err(what);
        assert_eq!(Unopened::from(refused).verdict(), Verdict::Format, "{what}");
    }
}

/// The owner of a data key can encrypt any bytes. Only the canonical text of data and metadata is accepted.
#[test]
fn the_plaintext_has_one_form() {
    let open = |data: &str, metadata: &str| {
        let plaintext = Plaintext { data: data.into(), metadata: metadata.into() };
        let opened = Envelope::seal(&key(0), [1; 24], &EVENT, &plaintext).open(&key(0), &EVENT);
        opened.map(|opened| assert_eq!(opened, plaintext)).map_err(|unopened| unopened.verdict())
    };
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    let object = |length: usize| format!(r#"{{"m":{}}}"#, text(length - 6));
    let deep = |levels: usize| format!(r#"{{"m":{}}}"#, nested(levels - 1));
    for (data, metadata) in [
        ("null", "{}"),
        ("{\"data\":1,\"metadata\":[]}", "{\"data\":1}"),
        (&nested(64), &deep(64)),
        (&text(MAX_PAYLOAD), &object(MAX_METADATA)),
    ] {
        assert_eq!(open(data, metadata), Ok(()), "{data:.20}");
    }
    for (data, metadata) in [
        ("", "{}"),
        ("1.0", "{}"),
        (" 1", "{}"),
        ("\"\\/\"", "{}"),
        ("{\"b\":1,\"a\":1}", "{}"),
        ("{\"a\":1,\"a\":1}", "{}"),
        ("9007199254740993", "{}"),
        ("\"\\u0000\"", "{}"),
        ("1,\"extra\":1", "{}"),
        ("1}", "{}"),
        ("1", "[]"),
        ("1", "null"),
        ("1", "{\"sealbus\":{}}"),
        ("1", "{},\"other\":1"),
        (&nested(65), "{}"),
        ("1", &deep(65)),
        (&text(MAX_PAYLOAD + 1), "{}"),
        ("1", &object(MAX_METADATA + 1)),
    ] {
        assert_eq!(open(data, metadata), Err(Verdict::Format), "{data:.20} {metadata:.20}");
    }
}

#[test]
fn a_stored_event_is_opened_with_its_data_key_only() {
    let signer = chain::keyring(1).signer().unwrap();
    let mut record = chain::next(&signer, EVENT.tenant, EVENT.plan, None, &json!({}));
    assert_eq!(Envelope::stored(&record), Ok(None));

    record.header.payload_mode = PayloadMode::Encrypted;
    let refused = |payload: Option<&str>| {
        let record = Record { payload: payload.map(str::to_owned), ..record.clone() };
        Unopened::from(Envelope::stored(&record).unwrap_err()).verdict()
    };
    assert_eq!((refused(None), refused(Some("{}"))), (Verdict::Format, Verdict::Format));

    (record.header.event_id, record.header.event_type) = (EVENT.event_id, EVENT.event_type.into());
    record.payload = Some(PINNED.into());
    let envelope = Envelope::stored(&record).unwrap().unwrap();
    let open = |key, erased| {
        let opened = envelope.open_stored(&record.header, key, erased);
        opened.map(|opened| assert_eq!(opened, plaintext())).map_err(|unopened| unopened.verdict())
    };
    let (own, other) = (key(0), key(1));
    assert_eq!(open(Some(&own), false), Ok(()));
    assert_eq!(open(Some(&other), false), Err(Verdict::Commitment));
    assert_eq!(open(None, false), Err(Verdict::KeyLost));
    assert_eq!(open(None, true), Err(Verdict::Erased));
    // A data key that was restored from a backup after its erasure does not open the payload.
    assert_eq!(open(Some(&own), true), Err(Verdict::Erased));
}

#[test]
fn clear_metadata_takes_precedence() {
    let metadata =
        |hidden: &str, clear: &str| Plaintext { data: "1".into(), metadata: hidden.into() }.with_clear_metadata(clear);
    let clear = r#"{"sealbus": {"auth": "token"}, "a": 1}"#;
    assert_eq!(metadata(r#"{"a":2,"b":3}"#, clear), r#"{"a":1,"b":3,"sealbus":{"auth":"token"}}"#);
    assert_eq!(metadata(r#"{"a":2}"#, "no JSON"), r#"{"a":2}"#);
    assert_eq!(format!("{:?}", plaintext()), "Plaintext");
}
