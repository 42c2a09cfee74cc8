//! The golden and published envelopes and wrapped keys, and the verdicts of a verifier that opens payloads.

use std::num::NonZeroU32;

use sealbus_core::canonical::{self, Limits};
use sealbus_core::envelope::{Binding, DataKey, DataSubject, Envelope, Plaintext, Unopened, WrappedKey};
use sealbus_core::event::{PayloadMode, Record};
use sealbus_core::hash::Hash;
use sealbus_core::seal::{KeyId, Keyring};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::common;
use crate::common::bundle::{merge, record_of};
use crate::common::{bytes, cases, golden, hash, published, text, vectors};

fn files() -> Vec<Value> {
    vectors("envelope.json", "seal/envelope.json")
}

fn data_key(key_id: Uuid, secret: &[u8]) -> DataKey {
    DataKey::new(key_id, &Zeroizing::new(secret.try_into().unwrap()))
}

fn event_id(case: &Value) -> Uuid {
    text(case, "event_id").parse().unwrap()
}

fn binding(case: &Value) -> Binding<'_> {
    Binding {
        origin: text(case, "origin"),
        tenant: text(case, "tenant"),
        plan: text(case, "plan"),
        event_id: event_id(case),
        event_type: text(case, "type"),
        data_version: common::number(case, "data_version").try_into().unwrap(),
    }
}

#[test]
fn envelopes_match_the_vectors_and_open() {
    for case in files().iter().flat_map(|file| cases(file, "cases")) {
        let plaintext = Plaintext {
            data: canonical::canonicalise(text(case, "payload").as_bytes(), Limits::PAYLOAD).unwrap(),
            metadata: canonical::canonicalise(text(case, "metadata").as_bytes(), Limits::METADATA).unwrap(),
        };
        assert_eq!(plaintext.encode(), text(case, "plaintext"));
        let (binding, key) = (binding(case), data_key(text(case, "key_id").parse().unwrap(), &bytes(case, "data_key")));
        assert_eq!(binding.associated_data(), bytes(case, "aad"));

        let sealed = Envelope::seal(&key, bytes(case, "nonce").try_into().unwrap(), &binding, &plaintext).to_text();
        assert_eq!(sealed, text(case, "envelope"));
        assert_eq!(json!(common::base64(&bytes(case, "commitment"))), parsed(&sealed)["commitment"]);
        assert_eq!(Hash::of(sealed.as_bytes()), hash(case, "payload_hash"));
        assert_eq!(json!(sealed.len()), case["payload_size"]);

        let envelope = Envelope::parse(&sealed).unwrap();
        assert_eq!(envelope.key_id(), key.key_id());
        assert_eq!(envelope.open(&key, &binding), Ok(plaintext));
    }
}

#[test]
fn refused_envelopes_get_their_verdicts() {
    for file in &files() {
        for case in cases(file, "refused") {
            // The associated data determine the event for which the envelope is opened.
            let aad = bytes(case, "aad");
            let event = cases(file, "cases").iter().map(binding).find(|binding| binding.associated_data() == aad);
            let elsewhere = Binding { tenant: "other", ..binding(&file["cases"][0]) };
            let binding = event.unwrap_or(elsewhere);
            assert_eq!(binding.associated_data(), aad, "{}", case["name"]);

            let opened = Envelope::parse(text(case, "envelope")).map_err(Unopened::from).and_then(|envelope| {
                let key = data_key(envelope.key_id(), &bytes(case, "data_key"));
                envelope.open(&key, &binding)
            });
            assert_eq!(opened.unwrap_err().verdict().as_str(), text(case, "refused"), "{}", case["name"]);
        }
    }
}

#[test]
fn wrapped_data_keys_match_the_vectors_and_unwrap() {
    for case in files().iter().flat_map(|file| cases(file, "wraps")) {
        let kek = json!({ "id": case["kek_id"], "secret": common::base64(&bytes(case, "kek")) });
        let keyring = Keyring::parse(&json!({ "keys": [kek] }).to_string()).unwrap();
        let key = data_key(text(case, "key_id").parse().unwrap(), &bytes(case, "data_key"));
        let subject = DataSubject::parse(text(case, "subject")).unwrap();
        let epoch = NonZeroU32::new(common::number(case, "epoch").try_into().unwrap()).unwrap();
        let nonce = bytes(case, "nonce").try_into().unwrap();

        let row = keyring.wrap_data_key(&key, text(case, "tenant"), &subject, epoch, &nonce).unwrap();
        assert_eq!((row.wrapped.clone(), row.kek.as_str()), (bytes(case, "wrapped"), text(case, "kek_id")));
        let unwrapped = keyring.unwrap_data_key(&row).unwrap();
        assert_eq!(unwrapped.key_id(), key.key_id());
        // The bytes of a data key are not accessible. Equal request MACs show that they are equal.
        assert_eq!(unwrapped.request_mac("o", "t", b"{}"), key.request_mac("o", "t", b"{}"));

        let elsewhere = WrappedKey { kek: KeyId::new("kek-0000000000000000"), ..row };
        assert!(keyring.unwrap_data_key(&elsewhere).is_err());
    }
}

#[test]
fn a_sealed_event_with_an_envelope_opens() {
    let file = golden("envelope.json");
    check_sealed_event(&file["event"], &file["cases"][0]);
    if let (Some(envelopes), Some(seals)) = (published("seal/envelope.json"), published("seal/seal-v2.json")) {
        let (envelopes, seals): (Value, Value) =
            (serde_json::from_slice(&envelopes).unwrap(), serde_json::from_slice(&seals).unwrap());
        let case = cases(&seals, "cases").iter().find(|case| case["name"] == "encrypted").unwrap();
        check_sealed_event(case, &envelopes["cases"][0]);
    }
}

/// Checks a sealed event whose payload is the envelope of the case `first`.
fn check_sealed_event(case: &Value, first: &Value) {
    let record = Record {
        header: common::header(&case["event"]),
        event_hash: hash(&case["expect"], "event_hash"),
        mac: bytes(&case["expect"], "mac"),
        sig: bytes(&case["expect"], "sig"),
        payload: Some(text(case, "payload").to_owned()),
        metadata: text(case, "metadata").to_owned(),
        request_mac: Vec::new(),
        v1: None,
        log_index: None,
    };
    assert_eq!(record.header.payload_mode, PayloadMode::Encrypted);
    assert_eq!(record.header.hash(), record.event_hash);
    let envelope = Envelope::stored(&record).unwrap().unwrap();
    let key = data_key(envelope.key_id(), &bytes(first, "data_key"));
    let opened = envelope.open_stored(&record.header, Some(&key), false).unwrap();
    assert_eq!(opened.encode(), text(first, "plaintext"));
    let metadata = canonical::canonicalise(text(first, "metadata").as_bytes(), Limits::METADATA).unwrap();
    assert_eq!(opened.with_clear_metadata(&record.metadata), metadata);
}

/// Rows 30, 31 and 38 of `docs/spec/integrity.md#tampering-table`. No envelope has a fault in any other row.
#[test]
fn payloads_get_the_verdicts_of_the_vectors_when_opened() {
    for file in &vectors("verdicts.json", "seal/verdicts.json") {
        check_opening(file);
    }
}

fn check_opening(file: &Value) {
    let mut opening_findings = 0;
    for case in cases(file, "cases") {
        let mut state = json!({ "ledger": file["ledger"], "trust": file["trust"] });
        merge(&mut state, &case["patch"]);
        let ledger = &state["ledger"];
        for (place, record) in ledger["records"].as_object().unwrap() {
            let expected: Vec<&str> = cases(case, "findings")
                .iter()
                .filter(|finding| finding[1] == *place && finding[0] != "UNANCHORED")
                .map(|finding| finding[0].as_str().unwrap())
                .collect();
            let found = verdict_on_opening(&record_of(text(&file["trust"], "origin"), record), ledger);
            opening_findings += usize::from(found.is_some());
            // Payloads are not opened if an earlier check failed.
            let is_earlier = |verdict: &&str| !OPENING_VERDICTS.contains(verdict) && Some(*verdict) != found;
            if !expected.iter().any(is_earlier) {
                assert_eq!(expected, Vec::from_iter(found), "row {}: {}, {place}", case["row"], case["name"]);
            }
        }
    }
    assert!(opening_findings >= 6, "only {opening_findings} findings about opening in the cases");
}

/// The verdicts that only a verifier that opens payloads can find.
const OPENING_VERDICTS: [&str; 4] = ["KEY_LOST", "COMMITMENT", "AAD", "ERASED"];

/// Opens the payload of a record. Returns the verdict if that fails.
fn verdict_on_opening(record: &Record, ledger: &Value) -> Option<&'static str> {
    let envelope = Envelope::stored(record).unwrap()?;
    let key_id = envelope.key_id().to_string();
    let secret = ledger["data_keys"][key_id.as_str()].as_str().map(|hex| hex::decode(hex).unwrap());
    let key = secret.map(|secret| data_key(envelope.key_id(), &secret));
    let erased = cases(ledger, "erased").contains(&json!(key_id));
    let opened = envelope.open_stored(&record.header, key.as_ref(), erased);
    opened.err().map(|unopened| unopened.verdict().as_str())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
