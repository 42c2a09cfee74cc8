//! Lines of events.jsonl: what is a record, what is one with a fault, and what cannot be read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use proptest::prelude::*;
use sealbus_core::event::{Record, V1};
use sealbus_core::seal::Keyring;
use sealbus_core::verify::bundle::{
    Content, EventLines, LineError, ReceiptError, RecordError, read_receipt, read_record, write_record,
};
use sealbus_core::verify::{Trust, Verdict};
use serde_json::{Value, json};

use crate::common::chain::{self, ORIGIN};

fn record() -> Record {
    let signer = chain::keyring(1).signer().unwrap();
    let record = chain::next(&signer, "acme", "order-1", None, &json!({ "n": 1 }));
    let v1 = V1 { payload_hash: "0".repeat(64), prev_hash: None, signature: "1".repeat(64) };
    Record { v1: Some(v1), log_index: Some(7), ..record }
}

fn line() -> Value {
    serde_json::from_str(&write_record(&record(), Some("proof"))).unwrap()
}

fn content(line: &Value) -> Content {
    read_record(line.to_string().as_bytes(), ORIGIN).unwrap().content
}

#[test]
fn a_line_has_the_members_of_a_record_in_their_order() {
    let written = write_record(&record(), Some("proof"));
    let members = "tenant plan seq event_id type data_version occurred recorded source actor correlation_id causation_id \
                   payload_mode payload_size payload_hash metadata_hash prev kid event_hash mac sig payload metadata log_index v1 proof";
    let at: Vec<_> = members.split(' ').map(|name| written.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(at.is_sorted(), "{written}");
    assert_eq!(line().as_object().unwrap().len(), at.len());
    assert!(!written.contains('\n'));
    let bare = write_record(&Record { v1: None, log_index: None, payload: None, ..record() }, None);
    assert!(bare.contains(r#""payload":null"#) && bare.contains(r#""log_index":null"#));
    assert!(!bare.contains("proof") && !bare.contains("v1"));
}

#[test]
fn what_may_be_absent_may_be_null_too() {
    for name in ["payload", "log_index", "v1", "proof"] {
        let (mut null, mut absent) = (line(), line());
        null[name] = Value::Null;
        absent.as_object_mut().unwrap().remove(name);
        assert!(matches!(content(&null), Content::Record(..)), "{name}");
        assert_eq!(content(&null), content(&absent), "{name}");
    }
}

#[test]
fn a_member_that_is_wrong_is_format_at_its_place() {
    let optional = ["payload", "log_index", "v1", "proof"];
    let wrong = |name: &str, value: Value| {
        let mut line = line();
        line[name] = value;
        let Content::Malformed { event_hash, log_index, .. } = content(&line) else { panic!("{name} in {line}") };
        assert!(event_hash == Some(record().event_hash) || name == "event_hash", "{name}");
        assert!(log_index == Some(7) || name == "log_index", "{name}");
    };
    for name in line().as_object().unwrap().keys().filter(|name| !["tenant", "plan", "seq"].contains(&name.as_str())) {
        wrong(name, json!([]));
        wrong(name, json!(true));
        if !optional.contains(&name.as_str()) {
            wrong(name, Value::Null);
        }
    }
    for name in ["payload_hash", "metadata_hash", "prev", "event_hash", "mac", "sig"] {
        for text in ["0", "0g", "AB", "0x00"] {
            wrong(name, json!(text));
        }
    }
    let id = line()["event_id"].as_str().unwrap().to_owned();
    for other in [id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}"), String::new()] {
        wrong("event_id", json!(other));
    }
    for other in [
        "2026-11-20T10:00:01Z",
        "2026-11-20T10:00:01.0000000Z",
        "2026-11-20t10:00:01.000000z",
        "2026-11-20T11:00:01.000000+01:00",
    ] {
        wrong("recorded", json!(other));
    }
    for other in [json!(-1), json!(1.5), json!("1"), json!(1_u64 << 32)] {
        wrong("data_version", other.clone());
        wrong("payload_size", other);
    }
    for other in [json!(-1), json!("7"), json!(7.5)] {
        wrong("log_index", other);
    }
    wrong("payload_mode", json!("hash_only"));
    wrong("v1", json!({ "payload_hash": 1 }));
    wrong("v1", json!({ "secret": "x" }));
    wrong("sealed_by", json!("somebody"));
}

/// Row 39: an emptied column is the older contract's to find, not the format's.
#[test]
fn emptied_v1_columns_are_read() {
    let mut line = line();
    line["v1"] = json!({ "payload_hash": null });
    let Content::Record(record, _) = content(&line) else { panic!("it is a record") };
    let empty = V1 { payload_hash: String::new(), prev_hash: None, signature: String::new() };
    assert_eq!(record.v1, Some(empty));
}

#[test]
fn a_line_without_a_place_cannot_be_read() {
    for text in ["", "null", "[]", "{}", r#"{"tenant":"a","plan":"p"}"#, r#"{"tenant":"a","plan":"p","seq":-1}"#] {
        assert!(read_record(text.as_bytes(), ORIGIN).is_err(), "{text}");
    }
    assert_eq!(read_record(b"{\"tenant\":\"a\",\"plan\":1,\"seq\":1}", ORIGIN), Err(RecordError::NoPlace));
    for text in [r#"{"seq":1,"seq":1}"#, "{\"a\":\"\\ud800\"}", "{\"seq\":01}", "{} {}", "{\"v1\":{\"a\":{}}}"] {
        assert!(matches!(read_record(text.as_bytes(), ORIGIN), Err(RecordError::Json(_))), "{text}");
    }
    assert!(matches!(read_record(b"{\"a\":\"\xff\"}", ORIGIN), Err(RecordError::Json(_))));
}

#[test]
fn lines_stand_by_tenant_plan_and_seq() {
    let at = |tenant: &str, plan: &str, seq: u64| json!({ "tenant": tenant, "plan": plan, "seq": seq }).to_string();
    let mut lines = EventLines::new(ORIGIN);
    // Byte by byte: capitals before the underscore, that before small letters; and 10 is after 9.
    for line in [
        at("A", "b", 9),
        at("A", "b", 10),
        at("A", "b", 10),
        at("_system", "_keys", 1),
        at("a", "B", 3),
        at("a", "b", 1),
    ] {
        lines.read(line.as_bytes()).unwrap();
    }
    assert_eq!(lines.read(at("a", "a", 9).as_bytes()), Err(LineError::Order { number: 7 }));
    assert!(matches!(lines.read(b"seq 1"), Err(LineError::Record { number: 8, .. })));
}

#[test]
fn a_receipt_is_sealed_by_a_pinned_key() {
    let trust = |keyring: Keyring| Trust::new(ORIGIN, keyring, [], 0);
    let (mine, others) = (trust(chain::keyring(1)), trust(chain::keyring(2)));
    let read = |line: &Value, trust: &Trust| read_receipt(line.to_string().as_bytes(), trust);
    assert_eq!(read(&line(), &mine).unwrap().event_hash, record().event_hash);
    let refused = |line: &Value, trust: &Trust| match read(line, trust) {
        Err(ReceiptError::Unsealed(verdict)) => verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&line(), &others), Verdict::UntrustedKey);
    for (name, value, verdict) in [
        ("actor", json!("other"), Verdict::EventHash),
        ("type", json!(""), Verdict::Format),
        ("prev", json!(""), Verdict::Format),
        ("event_hash", json!("0".repeat(64)), Verdict::EventHash),
        ("sig", json!("0".repeat(128)), Verdict::Signature),
        ("sig", json!(""), Verdict::Suite),
    ] {
        let mut line = line();
        line[name] = value;
        assert_eq!(refused(&line, &mine), verdict, "{name}");
    }
    assert!(matches!(read(&json!([]), &mine), Err(ReceiptError::Record(RecordError::NoPlace))));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, byte: u8) {
        let _ = read_record(&bytes, ORIGIN);
        let mut line = write_record(&record(), Some("proof")).into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        if let Ok(read) = read_record(&line, ORIGIN)
            && let Content::Record(record, proof) = read.content
        {
            // What is read is written so that it reads the same again.
            let again = read_record(write_record(&record, proof.as_deref()).as_bytes(), ORIGIN).unwrap();
            prop_assert_eq!(again.content, Content::Record(record, proof));
        }
    }
}
