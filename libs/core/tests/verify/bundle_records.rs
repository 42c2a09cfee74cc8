//! Lines of events.jsonl: records, malformed records, and unreadable lines.

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
fn a_line_has_the_members_of_a_record_in_order() {
    let written = write_record(&record(), Some("proof"));
    let members = "tenant plan seq event_id type data_version occurred recorded source actor correlation_id causation_id \
                   payload_mode payload_size payload_hash metadata_hash prev kid event_hash mac sig payload metadata log_index v1 proof";
    let offsets: Vec<_> = members.split(' ').map(|name| written.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(offsets.is_sorted(), "members are not in order: {written}");
    assert_eq!(line().as_object().unwrap().len(), offsets.len());
    assert!(!written.contains('\n'));
    let bare = write_record(&Record { v1: None, log_index: None, payload: None, ..record() }, None);
    assert!(bare.contains(r#""payload":null"#) && bare.contains(r#""log_index":null"#));
    assert!(!bare.contains("proof") && !bare.contains("v1"));
}

#[test]
fn optional_members_may_be_absent_or_null() {
    for name in ["payload", "log_index", "v1", "proof"] {
        let (mut null, mut absent) = (line(), line());
        null[name] = Value::Null;
        absent.as_object_mut().unwrap().remove(name);
        assert!(matches!(content(&null), Content::Record(..)), "{name}");
        assert_eq!(content(&null), content(&absent), "{name}");
    }
}

#[test]
fn a_faulty_member_makes_the_record_malformed() {
    let optional = ["payload", "log_index", "v1", "proof"];
    let assert_malformed = |name: &str, value: Value| {
        let mut line = line();
        line[name] = value;
        let Content::Malformed { event_hash, log_index, .. } = content(&line) else { panic!("{name} in {line}") };
        assert!(event_hash == Some(record().event_hash) || name == "event_hash", "{name}");
        assert!(log_index == Some(7) || name == "log_index", "{name}");
    };
    for name in line().as_object().unwrap().keys().filter(|name| !["tenant", "plan", "seq"].contains(&name.as_str())) {
        assert_malformed(name, json!([]));
        assert_malformed(name, json!(true));
        if !optional.contains(&name.as_str()) {
            assert_malformed(name, Value::Null);
        }
    }
    for name in ["payload_hash", "metadata_hash", "prev", "event_hash", "mac", "sig"] {
        for text in ["0", "0g", "AB", "0x00"] {
            assert_malformed(name, json!(text));
        }
    }
    let id = line()["event_id"].as_str().unwrap().to_owned();
    for other in [id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}"), String::new()] {
        assert_malformed("event_id", json!(other));
    }
    for other in [
        "2026-11-20T10:00:01Z",
        "2026-11-20T10:00:01.0000000Z",
        "2026-11-20t10:00:01.000000z",
        "2026-11-20T11:00:01.000000+01:00",
    ] {
        assert_malformed("recorded", json!(other));
    }
    for other in [json!(-1), json!(1.5), json!("1"), json!(1_u64 << 32)] {
        assert_malformed("data_version", other.clone());
        assert_malformed("payload_size", other);
    }
    for other in [json!(-1), json!("7"), json!(7.5)] {
        assert_malformed("log_index", other);
    }
    assert_malformed("payload_mode", json!("hash_only"));
    assert_malformed("v1", json!({ "payload_hash": 1 }));
    assert_malformed("v1", json!({ "secret": "x" }));
    assert_malformed("sealed_by", json!("somebody"));
}

/// `docs/spec/integrity.md#tampering-39`: an empty column is a fault of the v1 signature, not of the format.
#[test]
fn empty_v1_columns_are_read() {
    let mut line = line();
    line["v1"] = json!({ "payload_hash": null });
    let Content::Record(record, _) = content(&line) else { panic!("the line is malformed") };
    let empty = V1 { payload_hash: String::new(), prev_hash: None, signature: String::new() };
    assert_eq!(record.v1, Some(empty));
}

#[test]
fn a_line_without_tenant_plan_and_seq_is_unreadable() {
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
fn lines_must_be_ordered_by_tenant_plan_and_seq() {
    let line_of =
        |tenant: &str, plan: &str, seq: u64| json!({ "tenant": tenant, "plan": plan, "seq": seq }).to_string();
    let mut lines = EventLines::new(ORIGIN);
    // Names are compared byte by byte: capital letters, underscore, small letters. Seqs are compared as numbers.
    for line in [
        line_of("A", "b", 9),
        line_of("A", "b", 10),
        line_of("A", "b", 10),
        line_of("_system", "_keys", 1),
        line_of("a", "B", 3),
        line_of("a", "b", 1),
    ] {
        lines.read(line.as_bytes()).unwrap();
    }
    assert_eq!(lines.read(line_of("a", "a", 9).as_bytes()), Err(LineError::Order(7)));
    assert!(matches!(lines.read(b"seq 1"), Err(LineError::Record { number: 8, .. })));
}

#[test]
fn a_receipt_must_be_sealed_by_a_pinned_key() {
    let trust = |keyring: Keyring| Trust::new(ORIGIN, keyring, [], 0);
    let (own, other) = (trust(chain::keyring(1)), trust(chain::keyring(2)));
    let read = |line: &Value, trust: &Trust| read_receipt(line.to_string().as_bytes(), trust);
    assert_eq!(read(&line(), &own).unwrap().event_hash, record().event_hash);
    let refused = |line: &Value, trust: &Trust| match read(line, trust) {
        Err(ReceiptError::Unsealed(verdict)) => verdict,
        result => panic!("the receipt was not refused for its seal: {result:?}"),
    };
    assert_eq!(refused(&line(), &other), Verdict::UntrustedKey);
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
        assert_eq!(refused(&line, &own), verdict, "{name}");
    }
    assert!(matches!(read(&json!([]), &own), Err(ReceiptError::Record(RecordError::NoPlace))));
}

proptest! {
    #[test]
    fn no_line_causes_a_panic_and_records_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..200), index: prop::sample::Index, byte: u8) {
        let _ = read_record(&bytes, ORIGIN);
        let mut line = write_record(&record(), Some("proof")).into_bytes();
        let index = index.index(line.len());
        line[index] = byte;
        if let Ok(read) = read_record(&line, ORIGIN)
            && let Content::Record(record, proof) = read.content
        {
            // A record that was read and written again reads the same.
            let again = read_record(write_record(&record, proof.as_deref()).as_bytes(), ORIGIN).unwrap();
            prop_assert_eq!(again.content, Content::Record(record, proof));
        }
    }
}
