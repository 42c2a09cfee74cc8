//! Requests whose type is encrypted.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::canonical;
use crate::request::EventKey;
use crate::request::tests::LIMITS;

const ORIGIN: &str = "bus.test/one";
const NONCE: Nonce = [9; 24];

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let own = "module: own
types:
  a: { content: encrypted, subject: /customer/id, clear: [reason, batch], versions: { 1: { schema: any } } }
  at.place: { content: encrypted, subject: /who/1/a~1b~0c, versions: { 1: { schema: any } } }
  all.hidden: { content: encrypted, subject: /id, versions: { 1: { schema: any } } }
  nobody: { content: encrypted, versions: { 1: { schema: any } } }
  strict: { content: encrypted, subject: /id, versions: { 1: { schema: { required: [amount] } } } }
  plain: { content: plain, subject: /id, clear: [reason], versions: { 1: { schema: any } } }
";
    Catalog::read(&[("own.yaml".into(), own.into())]).expect("a catalog")
});

#[expect(clippy::needless_pass_by_value, reason = "requests are written in place")]
fn prepare(value: Value) -> Result<Prepared, Refused> {
    let context = Context {
        tenant: &Tenant::parse("acme").expect("a tenant"),
        plan: &Plan::parse("order-1").expect("a plan"),
        credential: "svc-orders",
        any_actor: false,
        idempotency_key: Some(EventKey::of_array("k-1", 0, 2)),
        traceparent: None,
        fresh_id: Uuid::from_u128(3),
    };
    EventRequest::from_json(&Text::from(&value))?.prepare(&context, &CATALOG, &LIMITS)
}

fn to_encrypt(value: Value) -> ToEncrypt {
    match prepare(value).expect("accepted") {
        Prepared::ToEncrypt(waiting) => waiting,
        Prepared::Ready(draft) => panic!("{draft:?} must be encrypted"),
    }
}

fn key(byte: u8) -> DataKey {
    DataKey::new(Uuid::from_u128(u128::from(byte)), &Zeroizing::new([byte; 32]))
}

fn binding(draft: &Draft) -> Binding<'_> {
    Binding {
        origin: ORIGIN,
        tenant: "acme",
        plan: "order-1",
        event_id: draft.event_id,
        event_type: &draft.event_type,
        data_version: draft.data_version,
    }
}

fn open(draft: &Draft, key: &DataKey) -> Plaintext {
    let envelope = Envelope::parse(draft.payload.as_deref().expect("an envelope")).expect("of its form");
    envelope.open(key, &binding(draft)).expect("it opens")
}

fn refusal(value: Value) -> (ErrorKind, String, String) {
    let refused = prepare(value).expect_err("refused");
    let first = refused.errors.into_iter().next().expect("a field at fault");
    (refused.kind, first.pointer, first.rule)
}

#[test]
fn data_and_metadata_are_encrypted_except_for_clear_members() {
    let waiting = to_encrypt(json!({
        "type": "a", "priority": "high", "data": { "customer": { "id": "c-7" }, "amount": "10.00" },
        "metadata": { "reason": "r", "ip": "192.0.2.7", "agent": { "reason": "nested" } },
    }));
    assert_eq!(waiting.subject().as_str(), "c-7");
    let key = key(1);
    let draft = waiting.encrypt(ORIGIN, &key, NONCE);

    let own = r#"{"auth":"token","idempotency_events":"2","idempotency_key":"k-1/0","priority":"high"}"#;
    assert_eq!(draft.metadata, format!(r#"{{"reason":"r","sealbus":{own}}}"#));
    let opened = open(&draft, &key);
    assert_eq!(opened.data, r#"{"amount":"10.00","customer":{"id":"c-7"}}"#);
    assert_eq!(opened.metadata, r#"{"agent":{"reason":"nested"},"ip":"192.0.2.7"}"#);
    let all = r#"{"agent":{"reason":"nested"},"ip":"192.0.2.7","reason":"r","sealbus":"#;
    assert_eq!(opened.with_clear_metadata(&draft.metadata), format!("{all}{own}}}"));
}

#[test]
fn the_envelope_is_the_payload_that_is_hashed() {
    let request = json!({ "type": "a", "data": { "customer": { "id": "c-7" } } });
    let draft = to_encrypt(request).encrypt(ORIGIN, &key(1), NONCE);
    let payload = draft.payload.as_deref().expect("an envelope");
    assert_eq!(draft.payload_mode, PayloadMode::Encrypted);
    assert_eq!(draft.payload_hash, Hash::of(payload.as_bytes()));
    assert_eq!(draft.payload_size as usize, payload.len());
    assert!(!payload.contains("c-7") && !draft.metadata.contains("c-7"));
}

#[test]
fn a_repeated_request_has_the_same_mac_with_any_nonce_but_not_with_another_key() {
    let request = json!({ "type": "a", "data": { "customer": { "id": "c-7" } }, "metadata": { "ip": "192.0.2.7" } });
    let once = to_encrypt(request.clone()).encrypt(ORIGIN, &key(1), NONCE);
    let again = to_encrypt(request).encrypt(ORIGIN, &key(1), [8; 24]);
    assert_ne!(once.payload_hash, again.payload_hash);
    let mac = |draft: &Draft, key: &DataKey| key.request_mac(ORIGIN, "acme", draft.request.as_bytes());
    assert_eq!(mac(&once, &key(1)), mac(&again, &key(1)));
    assert_ne!(mac(&once, &key(1)), mac(&once, &key(2)));
    let under = UnderKey { key_id: key(1).key_id(), request_mac: mac(&once, &key(1)) };
    assert_eq!((once.encrypted.as_ref(), again.encrypted.as_ref()), (Some(&under), Some(&under)));

    let other = json!({ "type": "a", "data": { "customer": { "id": "c-7" } }, "metadata": { "ip": "192.0.2.8" } });
    let other = to_encrypt(other).encrypt(ORIGIN, &key(1), NONCE);
    assert_ne!(mac(&once, &key(1)), mac(&other, &key(1)));
}

#[test]
fn the_subject_is_read_from_the_declared_pointer() {
    use ErrorKind::SchemaViolation;
    let waiting = to_encrypt(json!({ "type": "at.place", "data": { "who": [0, { "a/b~c": "Ada" }] } }));
    assert_eq!(waiting.subject().as_str(), "Ada");

    let of = |id: Value| json!({ "type": "all.hidden", "data": { "id": id } });
    let cases = [
        (json!({ "type": "all.hidden" }), "/data/id", "required"),
        (json!({ "type": "all.hidden", "data": "id" }), "/data/id", "required"),
        (json!({ "type": "all.hidden", "data": ["id"] }), "/data/id", "required"),
        (of(json!(null)), "/data/id", "required"),
        (of(json!(7)), "/data/id", "type"),
        (of(json!({ "id": "x" })), "/data/id", "type"),
        (of(json!("")), "/data/id", "minLength"),
        (of(json!("x".repeat(256))), "/data/id", "maxLength"),
        (of(json!("a\nb")), "/data/id", "pattern"),
        (json!({ "type": "at.place", "data": { "who": { "01": 0 } } }), "/data/who/1/a~1b~0c", "required"),
    ];
    for (value, pointer, rule) in cases {
        assert_eq!(refusal(value), (SchemaViolation, pointer.to_owned(), rule.to_owned()));
    }
    assert!(prepare(of(json!("x".repeat(255)))).is_ok());
    let refused = prepare(of(json!("hush\u{7}"))).expect_err("a control character");
    assert!(!refused.to_string().contains("hush"), "{refused}");
}

#[test]
fn encrypted_types_have_all_other_checks_too() {
    use ErrorKind::{InvalidField, JsonSize, SchemaViolation, UnknownEventType};
    let large = "x".repeat(canonical::MAX_METADATA);
    let cases = [
        (json!({ "type": "nobody", "data": {} }), InvalidField, "/type", "content"),
        (json!({ "type": "strict", "data": { "id": "x" } }), SchemaViolation, "/data/amount", "required"),
        (json!({ "type": "b", "data": {} }), UnknownEventType, "/type", "catalog"),
        (
            json!({ "type": "all.hidden", "data": { "id": "x" }, "metadata": { "m": large } }),
            JsonSize,
            "/metadata",
            "json_size",
        ),
    ];
    for (value, kind, pointer, rule) in cases {
        assert_eq!(refusal(value), (kind, pointer.to_owned(), rule.to_owned()));
    }
}

#[test]
fn an_event_of_a_plain_type_is_ready() {
    let request = json!({ "type": "plain", "data": { "id": "x" }, "metadata": { "ip": "192.0.2.7" } });
    let Ok(Prepared::Ready(draft)) = prepare(request) else { panic!("a plain draft") };
    assert_eq!(draft.payload.as_deref(), Some(r#"{"id":"x"}"#));
    assert!(draft.metadata.contains("192.0.2.7"));
}

#[test]
fn an_event_to_encrypt_does_not_print_its_content() {
    let waiting = to_encrypt(json!({ "type": "all.hidden", "id": Uuid::from_u128(3), "data": { "id": "c-7" } }));
    assert_eq!(format!("{waiting:?}"), "ToEncrypt(00000000-0000-0000-0000-000000000003)");
}

proptest! {
    /// No member of the metadata is lost or stored in both places, and the opened data are the given ones.
    #[test]
    fn encryption_loses_nothing(
        data in "[a-zé\u{10000}\"\\\\]{0,9}",
        metadata in prop::collection::btree_map("reason|batch|ip|[a-c]|é", -9e15..9e15_f64, 0..6),
    ) {
        let metadata: Map<String, Value> = metadata.into_iter().map(|(name, value)| (name, json!(value))).collect();
        let request = json!({ "type": "a", "data": { "customer": { "id": "c" }, "d": data }, "metadata": metadata });
        let draft = to_encrypt(request).encrypt(ORIGIN, &key(1), NONCE);
        let opened = open(&draft, &key(1));
        prop_assert_eq!(opened.data, canonical::write(&json!({ "customer": { "id": "c" }, "d": data })));

        let clear: Map<String, Value> = serde_json::from_str(&draft.metadata).unwrap();
        let hidden: Map<String, Value> = serde_json::from_str(&opened.metadata).unwrap();
        prop_assert!(clear.keys().all(|name| ["reason", "batch", "sealbus"].contains(&name.as_str())));
        prop_assert!(hidden.keys().all(|name| !clear.contains_key(name)));
        let mut both: Map<String, Value> = clear.into_iter().chain(hidden).collect();
        both.remove("sealbus");
        prop_assert_eq!(canonical::write(&Value::Object(both)), canonical::write(&Value::Object(metadata)));
    }
}
