//! Publish requests: what is accepted, and the drafts made from it.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::canonical;
use crate::catalog::Catalog;
use crate::event::PayloadMode;
use crate::hash::Hash;
use crate::names::{Plan, Tenant};

pub(super) const LIMITS: Limits =
    Limits { body_bytes: 4 * 1024 * 1024, events: 1_000, event_bytes: canonical::MAX_PAYLOAD, members: 16_384 };
const FRESH: Uuid = Uuid::from_u128(0x0197_f2a1_0000_7000_8000_0000_0000_0001);

/// Compiled once, because property tests use it many times.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let own = "module: own
patterns:
  any.*: { schema: any }
  hash.*: { schema: any, content: hash-only }
  secret.*: { schema: any, content: encrypted }
";
    Catalog::read(&[("own.yaml".into(), own.into())]).expect("a catalog")
});

struct Caller {
    tenant: Tenant,
    plan: Plan,
    any_actor: bool,
    key: Option<EventKey>,
    limits: Limits,
}

fn caller() -> Caller {
    Caller {
        tenant: Tenant::parse("acme").expect("a tenant"),
        plan: Plan::parse("order-1").expect("a plan"),
        any_actor: false,
        key: None,
        limits: LIMITS,
    }
}

impl Caller {
    #[expect(clippy::needless_pass_by_value, reason = "requests are written in place")]
    fn prepare(&self, value: Value) -> Result<Draft, Refused> {
        let context = Context {
            tenant: &self.tenant,
            plan: &self.plan,
            credential: "svc-orders",
            any_actor: self.any_actor,
            idempotency_key: self.key.clone(),
            traceparent: None,
            fresh_id: FRESH,
        };
        EventRequest::from_json(&Text::from(&value))?.prepare(&context, &CATALOG, &self.limits).map(ready)
    }
}

fn ready(prepared: Prepared) -> Draft {
    match prepared {
        Prepared::Ready(draft) => draft,
        Prepared::ToEncrypt(waiting) => panic!("{waiting:?} must not be encrypted"),
    }
}

fn metadata(prepared: &Draft) -> Value {
    serde_json::from_str(&prepared.metadata).expect("canonical metadata is JSON")
}

fn refusal(value: &Value) -> (ErrorKind, String, String) {
    let refused = caller().prepare(value.clone()).expect_err(&value.to_string());
    let first = refused.errors.first().unwrap_or_else(|| panic!("{value}: {refused} names no field"));
    (refused.kind, first.pointer.clone(), first.rule.clone())
}

#[test]
fn a_request_with_data_only() {
    let prepared =
        caller().prepare(json!({ "type": "any.thing", "data": { "b": 1, "a": [true, null] } })).expect("accepted");
    assert_eq!(prepared.payload.as_deref(), Some(r#"{"a":[true,null],"b":1}"#));
    assert_eq!(prepared.payload_hash, Hash::of(br#"{"a":[true,null],"b":1}"#));
    assert_eq!(prepared.payload_size, 23);
    assert_eq!((prepared.payload_mode, prepared.data_version, prepared.event_id), (PayloadMode::Plain, 1, FRESH));
    assert_eq!((prepared.actor.as_str(), prepared.source.as_str()), ("svc-orders", ""));
    assert_eq!(prepared.metadata, r#"{"sealbus":{"auth":"token"}}"#);
}

#[test]
fn a_request_with_every_member() {
    let request = json!({
        "type": "any.thing", "version": 7, "id": "A-1", "source": "/orders", "actor": "user:17",
        "occurred_at": "2026-11-20t11:00:00.1234567+01:00", "correlation_id": "c", "causation_id": "d",
        "priority": "high", "deliver_by": "2026-11-20T12:00:00Z", "metadata": { "reason": "r" }, "data": null,
    });
    let prepared = Caller { any_actor: true, ..caller() }.prepare(request).expect("accepted");
    assert_eq!(prepared.event_id, crate::event::event_id("acme", "/orders", "A-1").expect("an id").id);
    assert_eq!((prepared.data_version, prepared.actor.as_str()), (7, "user:17"));
    assert_eq!(prepared.occurred.expect("given").to_string(), "2026-11-20T10:00:00.123456Z");
    assert_eq!(prepared.payload.as_deref(), Some("null"));
    let own = json!({ "auth": "token", "by": "svc-orders", "id": "A-1", "priority": "high", "deliver_by": "2026-11-20T12:00:00.000000Z" });
    assert_eq!(metadata(&prepared), json!({ "reason": "r", "sealbus": own }));
    let compared = json!({
        "plan": "order-1", "type": "any.thing", "version": 7, "id": prepared.event_id, "source": "/orders", "actor": "user:17",
        "occurred_at": "1795168800123456", "correlation_id": "c", "causation_id": "d", "priority": "high",
        "deliver_by": "1795176000000000", "metadata": { "reason": "r" }, "data": Hash::of(b"null").to_string(),
        "encoding": null, "content_type": null,
    });
    assert_eq!(prepared.request, canonical::write(&compared));
}

#[test]
fn a_hash_only_type_stores_no_payload() {
    let prepared = caller().prepare(json!({ "type": "hash.only", "data": "x" })).expect("accepted");
    assert_eq!((prepared.payload_mode, &prepared.payload, prepared.payload_size), (PayloadMode::HashOnly, &None, 3));
    assert_eq!(prepared.payload_hash, Hash::of(br#""x""#));
}

#[test]
fn normal_priority_is_not_stored() {
    let prepared = caller().prepare(json!({ "type": "any.a", "priority": "normal" })).expect("accepted");
    assert_eq!(metadata(&prepared), json!({ "sealbus": { "auth": "token" } }));
}

#[test]
fn the_id_is_derived_from_the_idempotency_key_unless_given() {
    let by_key = Caller { key: Some(EventKey::of_array("k-1", 0, 2)), ..caller() };
    let prepared = by_key.prepare(json!({ "type": "any.a" })).expect("accepted");
    assert_eq!(prepared.event_id, crate::event::event_id("acme", "idempotency-key", "k-1/0").expect("an id").id);
    assert_eq!(
        metadata(&prepared)["sealbus"],
        json!({ "auth": "token", "idempotency_key": "k-1/0", "idempotency_events": "2" })
    );
    let own = "0190f3a4-7c1e-7d3b-8a55-0123456789ab";
    let prepared = by_key.prepare(json!({ "type": "any.a", "id": own })).expect("accepted");
    assert_eq!(prepared.event_id.to_string(), own);
}

#[test]
fn a_key_without_the_number_of_events_makes_the_same_id() {
    let key = EventKey::of_array("k-1", 0, 2);
    let old = key.clone().without_events();
    assert_eq!((key.events(), old.events(), old.text()), (Some(2), None, "k-1/0".to_owned()));
}

#[test]
fn repeating_a_request_with_the_new_id_is_the_same_request() {
    let first = caller().prepare(json!({ "type": "any.a", "data": 1 })).expect("accepted");
    let again = caller().prepare(json!({ "type": "any.a", "data": 1, "id": FRESH })).expect("accepted");
    assert_eq!(first, again);
}

#[test]
fn naming_another_actor_than_the_token_requires_the_scope() {
    let own = caller().prepare(json!({ "type": "any.a", "actor": "svc-orders" })).expect("accepted");
    assert_eq!(metadata(&own)["sealbus"], json!({ "auth": "token" }));
    assert_eq!(
        refusal(&json!({ "type": "any.a", "actor": "boss" })),
        (ErrorKind::Forbidden, "/actor".into(), "scope".into())
    );
}

#[test]
fn members_that_break_their_rule_are_refused_with_their_pointer() {
    use ErrorKind::{InvalidField, InvalidName};
    let cases = [
        (json!([]), InvalidField, "", "type"),
        (json!({}), InvalidField, "/type", "required"),
        (json!({ "type": 1 }), InvalidField, "/type", "type"),
        (json!({ "type": "a b" }), InvalidName, "/type", "name"),
        (json!({ "type": "any.*" }), InvalidName, "/type", "name"),
        (json!({ "type": "any.a", "typ": 1 }), InvalidField, "/typ", "unknown"),
        (json!({ "type": "any.a", "a/b~": 1 }), InvalidField, "/a~1b~0", "unknown"),
        (json!({ "type": "any.a", "tenant": "acme" }), InvalidField, "/tenant", "unknown"),
        (json!({ "type": "any.a", "id": "" }), InvalidField, "/id", "minLength"),
        (json!({ "type": "any.a", "id": 5 }), InvalidField, "/id", "type"),
        (json!({ "type": "any.a", "id": "x".repeat(1025) }), InvalidField, "/id", "maxLength"),
        (json!({ "type": "any.a", "source": "a\u{7}b" }), InvalidField, "/source", "pattern"),
        (json!({ "type": "any.a", "actor": "é".repeat(128) }), InvalidField, "/actor", "maxLength"),
        (json!({ "type": "any.a", "version": 0 }), InvalidField, "/version", "range"),
        (json!({ "type": "any.a", "version": 2_147_483_648_u32 }), InvalidField, "/version", "range"),
        (json!({ "type": "any.a", "version": 1.5 }), InvalidField, "/version", "range"),
        (json!({ "type": "any.a", "occurred_at": "yesterday" }), InvalidField, "/occurred_at", "format"),
        (json!({ "type": "any.a", "occurred_at": "2016-12-31T23:59:60Z" }), InvalidField, "/occurred_at", "format"),
        (json!({ "type": "any.a", "deliver_by": 17 }), InvalidField, "/deliver_by", "format"),
        (json!({ "type": "any.a", "priority": "urgent" }), InvalidField, "/priority", "enum"),
        (json!({ "type": "any.a", "metadata": [] }), InvalidField, "/metadata", "type"),
        (json!({ "type": "any.a", "metadata": { "sealbus": {} } }), InvalidField, "/metadata/sealbus", "reserved"),
    ];
    for (value, kind, pointer, rule) in cases {
        assert_eq!(refusal(&value), (kind, pointer.into(), rule.into()), "{value}");
    }
}

#[test]
fn a_null_member_counts_as_absent() {
    let given =
        json!({ "type": "any.a", "id": null, "source": null, "metadata": null, "priority": null, "occurred_at": null });
    assert_eq!(caller().prepare(given), caller().prepare(json!({ "type": "any.a" })));
}

#[test]
fn types_and_data_are_checked_against_the_catalog() {
    use ErrorKind::{Forbidden, InvalidField, SchemaViolation, UnknownEventType};
    let cases = [
        (json!({ "type": "nobody.knows" }), UnknownEventType, "/type", "catalog"),
        (json!({ "type": "payment.settled", "version": 2, "data": {} }), UnknownEventType, "/type", "catalog"),
        (json!({ "type": "key.added", "data": {} }), Forbidden, "/type", "reserved"),
        (json!({ "type": "delivery.skipped", "data": {} }), Forbidden, "/type", "reserved"),
        (json!({ "type": "subject.erased", "data": {} }), Forbidden, "/type", "reserved"),
        (json!({ "type": "secret.kept", "data": {} }), InvalidField, "/type", "content"),
        (json!({ "type": "payment.settled", "data": { "amount": 10 } }), SchemaViolation, "/data/amount", "type"),
        (json!({ "type": "payment.settled", "data": {} }), SchemaViolation, "/data/amount", "required"),
    ];
    for (value, kind, pointer, rule) in cases {
        assert_eq!(refusal(&value), (kind, pointer.into(), rule.into()), "{value}");
    }
}

#[test]
fn limits_are_enforced() {
    let refuse = |value: Value| caller().prepare(value).expect_err("over a limit").kind;
    assert_eq!(refuse(json!({ "type": "any.a", "data": "x".repeat(canonical::MAX_PAYLOAD) })), ErrorKind::JsonSize);
    assert!(caller().prepare(json!({ "type": "any.a", "data": "x".repeat(canonical::MAX_PAYLOAD - 2) })).is_ok());
    assert_eq!(
        refuse(json!({ "type": "any.a", "metadata": { "m": "x".repeat(canonical::MAX_METADATA) } })),
        ErrorKind::JsonSize
    );
    assert_eq!(refuse(json!({ "type": "any.a", "data": vec![0; 20_000] })), ErrorKind::TooLarge);
    let metadata = |members: usize| json!({ "type": "any.a", "data": [0], "metadata": { "m": vec![0; members] } });
    let few = Caller { limits: Limits { members: 5, ..LIMITS }, ..caller() };
    assert!(few.prepare(metadata(3)).is_ok(), "an element, a member and three elements");
    assert_eq!(few.prepare(metadata(4)).expect_err("over the limit").kind, ErrorKind::TooLarge);
    let tight = Caller { limits: Limits { event_bytes: 10, ..LIMITS }, ..caller() };
    assert_eq!(
        tight.prepare(json!({ "type": "any.a", "data": "12345678" })).map(|prepared| prepared.payload_size),
        Ok(10)
    );
    assert_eq!(
        tight.prepare(json!({ "type": "any.a", "data": "123456789" })).expect_err("over the limit").kind,
        ErrorKind::TooLarge
    );
}

#[test]
fn depth_is_counted_within_the_data() {
    let nested = |levels: usize| {
        let body = format!("[{{\"type\":\"any.a\",\"data\":{}{}}}]", "[".repeat(levels), "]".repeat(levels));
        let (mut events, _) = read_body(body.as_bytes(), &LIMITS)?;
        let caller = caller();
        let context = Context {
            tenant: &caller.tenant,
            plan: &caller.plan,
            credential: "t",
            any_actor: false,
            idempotency_key: None,
            traceparent: None,
            fresh_id: FRESH,
        };
        events.remove(0).prepare(&context, &CATALOG, &caller.limits).map(ready)
    };
    assert!(nested(64).is_ok(), "64 nested arrays are allowed");
    assert_eq!(nested(65).expect_err("too deep").kind, ErrorKind::JsonDepth);
    assert_eq!(nested(300).expect_err("too deep").kind, ErrorKind::JsonDepth);
}

#[test]
fn bodies_of_one_event_or_an_array() {
    let limits = Limits { events: 2, body_bytes: 100, ..LIMITS };
    let read = |body: &str| read_body(body.as_bytes(), &limits).map(|(events, array)| (events.len(), array));
    let kind = |body: &str| read(body).expect_err(body).kind;
    assert_eq!(read(r#"{"type":"a"}"#), Ok((1, false)));
    assert_eq!(read(r#"[{"type":"a"},{"type":"b"}]"#), Ok((2, true)));
    assert_eq!(kind("[]"), ErrorKind::InvalidField);
    assert_eq!(kind(r#"[{"type":"a"},{"type":"b"},{"type":"c"}]"#), ErrorKind::TooLarge);
    assert_eq!(kind(&format!("\"{}\"", "x".repeat(99))), ErrorKind::TooLarge);
    assert_eq!(kind("{"), ErrorKind::JsonSyntax);
    assert_eq!(kind(""), ErrorKind::JsonSyntax);
    let second = read_body(br#"[{"type":"a"},{"type":5}]"#, &limits).expect_err("the second");
    assert_eq!(second.errors[0].pointer, "/1/type");
}

proptest! {
    /// The texts of two requests are equal exactly if the requests are.
    #[test]
    fn only_equal_requests_have_the_same_text(source in proptest::option::of("[a-z]{1,5}"), data in "[a-z]{0,5}", other in "[a-z]{0,5}") {
        let request = |data: &str| json!({ "type": "any.a", "source": source, "data": { "v": data } });
        let (one, two) = (caller().prepare(request(&data)).unwrap(), caller().prepare(request(&other)).unwrap());
        prop_assert_eq!(one.request == two.request, data == other);
    }

    /// No JSON value makes the reader panic, and an accepted event has canonical texts.
    #[test]
    fn any_json_is_accepted_or_refused(value in json_value()) {
        if let Ok(prepared) = caller().prepare(json!({ "type": "any.a", "data": value, "metadata": { "m": value } })) {
            let payload = prepared.payload.unwrap();
            prop_assert_eq!(canonical::write(&serde_json::from_str(&payload).unwrap()), payload.clone());
            prop_assert_eq!(serde_json::from_str::<Value>(&prepared.metadata).unwrap()["m"].is_null(), value.is_null());
        }
        let _ = EventRequest::from_json(&Text::from(&value));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53) + 1..1 << 53).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("type|id|data|[a-z]{0,3}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}
