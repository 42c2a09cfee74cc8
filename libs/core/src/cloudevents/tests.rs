//! CloudEvents in all modes, as requests, as answers, and from one to the other.

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::canonical::Text;
use crate::catalog::Catalog;
use crate::error::ErrorKind;
use crate::event::{Header, Record, View};
use crate::hash::Hash;
use crate::names::Tenant;
use crate::request::{Context, Events, Limits, Prepared};
use crate::seal::KeyId;
use crate::timestamp::Timestamp;

/// Reads an event in structured mode.
fn structured(event: &Value) -> Result<Incoming, crate::error::Refused> {
    from_structured(&Text::from(event))
}

/// Shows an event in structured mode.
fn shown(record: &Record) -> Value {
    to_structured(&view(record), &[]).node().to_value()
}

const LIMITS: Limits = Limits { body_bytes: 1 << 20, events: 10, event_bytes: 1 << 18, members: 1_000 };

fn full() -> Value {
    json!({
        "specversion": "1.0", "id": "A-1", "source": "/orders", "type": "any.thing", "subject": "order-1",
        "time": "2026-11-20T10:00:00Z", "datacontenttype": "application/json", "tenantid": "acme", "actor": "user:17",
        "correlationid": "c", "causationid": "d", "dataversion": 2, "priority": "low", "deliverby": "2026-11-21T10:00:00Z",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "region": "eu", "retries": 3, "data": { "a": 1 },
    })
}

fn view(record: &Record) -> View {
    View::stored(record.clone().into())
}

/// Returns the record that the ledger would store for a received event.
fn stored(incoming: Incoming) -> Record {
    let own = "module: own\npatterns: { any.*: { schema: any } }";
    let catalog = Catalog::read(&[("own.yaml".into(), own.into())]).expect("a catalog");
    let tenant = incoming.tenant.unwrap_or_else(|| Tenant::parse("acme").expect("a tenant"));
    let context = Context {
        tenant: &tenant,
        plan: &incoming.plan,
        credential: "svc",
        any_actor: true,
        idempotency_key: None,
        traceparent: incoming.traceparent,
        fresh_id: Uuid::from_u128(1),
    };
    let prepared = incoming.request.prepare(&context, &catalog, &LIMITS).expect("accepted");
    let Prepared::Ready(prepared) = prepared else { panic!("no type of this catalog is encrypted") };
    let recorded = Timestamp::parse("2026-11-20T11:00:00Z").expect("a time");
    Record {
        header: Header {
            origin: "bus.example".into(),
            tenant: tenant.to_string(),
            plan: incoming.plan.to_string(),
            seq: 7,
            event_id: prepared.event_id,
            event_type: prepared.event_type,
            data_version: prepared.data_version,
            occurred: prepared.occurred.unwrap_or(recorded),
            recorded,
            source: prepared.source,
            actor: prepared.actor,
            correlation_id: prepared.correlation_id,
            causation_id: prepared.causation_id,
            payload_mode: prepared.payload_mode,
            payload_size: prepared.payload_size,
            payload_hash: prepared.payload_hash,
            metadata_hash: Hash::of(prepared.metadata.as_bytes()),
            prev: Hash::of(b""),
            kid: KeyId::new("hmac-0000000000000000"),
        },
        event_hash: Hash::of(b""),
        mac: Vec::new(),
        sig: Vec::new(),
        payload: prepared.payload,
        metadata: prepared.metadata,
        request_mac: Vec::new(),
        v1: None,
        log_index: None,
    }
}

fn binary(headers: &[(String, String)], body: &[u8]) -> Result<Incoming, crate::error::Refused> {
    let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let content_type = pairs.iter().find(|(name, _)| *name == "content-type").map(|(_, value)| *value);
    from_binary(&pairs, content_type, body)
}

#[test]
fn structured_mode_round_trips() {
    let record = stored(structured(&full()).expect("a CloudEvent"));
    assert_eq!(record.header.plan, "order-1");
    let metadata: Value = serde_json::from_str(&record.metadata).expect("JSON");
    assert_eq!((&metadata["region"], &metadata["retries"]), (&json!("eu"), &json!(3)));
    let mut expected = full();
    expected["sequence"] = json!("7");
    expected["time"] = json!("2026-11-20T10:00:00.000000Z");
    expected["deliverby"] = json!("2026-11-21T10:00:00.000000Z");
    assert_eq!(shown(&record), expected);
}

#[test]
fn binary_mode_is_the_same_event_as_structured_mode() {
    let record = stored(structured(&full()).expect("a CloudEvent"));
    let (headers, body) = to_binary(&view(&record));
    assert!(headers.contains(&("ce-subject".into(), "order-1".into())), "{headers:?}");
    assert!(headers.contains(&("content-type".into(), "application/json".into())), "{headers:?}");
    assert_eq!(body, br#"{"a":1}"#);
    let mut again = binary(&headers, &body).expect("a CloudEvent");
    // Headers hold text only, and sequence is an extension in a request.
    let extensions = again.request.metadata.expect("extensions").node().to_value();
    assert_eq!(extensions, json!({ "region": "eu", "retries": "3", "sequence": "7" }));
    again.request.metadata = Some(Text::from(&json!({ "region": "eu", "retries": 3 })));
    assert_eq!(again, structured(&full()).expect("a CloudEvent"));
}

#[test]
fn header_values_are_percent_encoded() {
    let mut event = full();
    event["actor"] = json!("Zoë \"Z\" 100%");
    let record = stored(structured(&event).expect("a CloudEvent"));
    let (headers, body) = to_binary(&view(&record));
    let actor = headers.iter().find(|(name, _)| name == "ce-actor").expect("an actor");
    assert_eq!(actor.1, "Zo%C3%AB%20%22Z%22%20100%25");
    assert_eq!(binary(&headers, &body).expect("a CloudEvent").request.actor.as_deref(), Some("Zoë \"Z\" 100%"));
}

#[test]
fn header_values_are_encoded_by_the_rule_of_the_http_binding() {
    // The example of the CloudEvents HTTP binding, then the characters at the limits of its rule.
    assert_eq!(header_value("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
    assert_eq!(header_value("a!~#$&'()*+,/:;=?@[]"), "a!~#$&'()*+,/:;=?@[]");
    assert_eq!(header_value("100% \"sure\"\r\n\u{7f}\u{85}"), "100%25%20%22sure%22%0D%0A%7F%C2%85");
}

#[test]
fn data_that_is_not_json_is_stored_as_base64() {
    let image = [0_u8, 159, 146, 150];
    let headers: Vec<(String, String)> = [
        ("CE-SpecVersion", "1.0"),
        ("ce-type", "any.image"),
        ("ce-source", "/camera"),
        ("ce-id", "1"),
        ("ce-subject", "p"),
        ("content-type", "image/png"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let record = stored(binary(&headers, &image).expect("a CloudEvent"));
    assert_eq!(record.payload.as_deref(), Some(r#""AJ+Slg==""#));
    let metadata: Value = serde_json::from_str(&record.metadata).expect("JSON");
    assert_eq!(
        (&metadata["sealbus"]["encoding"], &metadata["sealbus"]["content_type"]),
        (&json!("base64"), &json!("image/png"))
    );
    let (headers, body) = to_binary(&view(&record));
    assert_eq!(body, image);
    assert!(headers.contains(&("content-type".into(), "image/png".into())));
    let structured_mode = shown(&record);
    assert_eq!(
        (&structured_mode["data_base64"], &structured_mode["datacontenttype"]),
        (&json!("AJ+Slg=="), &json!("image/png"))
    );
    let again = stored(structured(&structured_mode).expect("a CloudEvent"));
    assert_eq!((again.payload, again.header.payload_hash), (record.payload, record.header.payload_hash));
}

#[test]
fn text_is_the_same_data_in_structured_and_binary_mode() {
    let mut event = full();
    event["datacontenttype"] = json!("text/xml; charset=utf-8");
    event["data"] = json!("<much/>");
    let content = structured(&event).expect("a CloudEvent").request.content;
    let headers: Vec<_> = [
        ("ce-specversion", "1.0"),
        ("ce-type", "any.x"),
        ("ce-subject", "p"),
        ("content-type", "text/xml; charset=utf-8"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    assert_eq!(content, binary(&headers, b"<much/>").expect("a CloudEvent").request.content);
}

#[test]
fn text_may_be_six_times_as_long_in_json() {
    let mut event = full();
    event["datacontenttype"] = json!("text/plain");
    event["data"] = json!("\u{1}".repeat(100_000));
    let body = event.to_string();
    let mut events = Events::new(body.as_bytes(), &LIMITS).expect("a body");
    let record = stored(from_structured(&events.next().expect("an event").expect("read")).expect("a CloudEvent"));
    assert_eq!(to_binary(&view(&record)).1, vec![1; 100_000]);
}

#[test]
fn media_types_of_json() {
    for json in ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/vnd.acme+json"] {
        assert!(is_json(json), "{json}");
    }
    for other in ["", "text/plain", "application/xml", "application/jsonlines", "json"] {
        assert!(!is_json(other), "{other}");
    }
    let mut event = full();
    event["datacontenttype"] = json!("application/vnd.acme+json");
    let content = structured(&event).expect("a CloudEvent").request.content;
    assert_eq!((content.base64, content.content_type.as_deref()), (false, Some("application/vnd.acme+json")));
}

#[test]
fn absent_attributes_stay_absent() {
    let least = json!({ "specversion": "1.0", "type": "any.a", "subject": "p" });
    let record = stored(structured(&least).expect("a CloudEvent"));
    let out = shown(&record);
    assert_eq!(out["id"], record.header.event_id.to_string());
    assert_eq!(out["source"], "bus.example", "an event without a source has the origin as source");
    assert_eq!(out.get("data"), None);
    assert_eq!(out.get("datacontenttype"), None);
    assert_eq!(to_binary(&view(&record)).1, b"");
}

#[test]
fn the_attributes_of_an_answer_are_never_those_of_the_producer() {
    let mut event = full();
    event["sealbussealed"] = json!(true);
    event["sealbusreceipt"] = json!("the producer's");
    let view = view(&stored(structured(&event).expect("a CloudEvent")));
    let answer =
        to_structured(&view, &[("sealbussealed", Text::from(&json!(false))), ("sealbusreceipt", Text::string("ours"))]);
    for (name, value) in [("sealbussealed", json!(false)), ("sealbusreceipt", json!("ours"))] {
        assert_eq!(answer.as_str().matches(&format!("\"{name}\":")).count(), 1, "{}", answer.as_str());
        assert_eq!(answer.node().to_value()[name], value);
        assert_eq!(to_structured(&view, &[]).node().to_value().get(name), None);
    }
}

#[test]
fn faults_are_refused_with_their_field() {
    let with = |name: &str, value: Value| {
        let mut event = full();
        event[name] = value;
        structured(&event)
    };
    let cases = [
        (with("specversion", json!("0.3")), ErrorKind::InvalidField, "/specversion", "const"),
        (with("specversion", Value::Null), ErrorKind::InvalidField, "/specversion", "const"),
        (with("subject", Value::Null), ErrorKind::InvalidField, "/subject", "required"),
        (with("subject", json!("a b")), ErrorKind::InvalidName, "/subject", "name"),
        (with("subject", json!("_keys")), ErrorKind::InvalidName, "/subject", "name"),
        (with("tenantid", json!("Acme")), ErrorKind::InvalidName, "/tenantid", "name"),
        (with("tenantid", json!("_system")), ErrorKind::InvalidName, "/tenantid", "name"),
        (with("type", Value::Null), ErrorKind::InvalidField, "/type", "required"),
        (with("time", json!("noon")), ErrorKind::InvalidField, "/time", "format"),
        (with("dataversion", json!("two")), ErrorKind::InvalidField, "/dataversion", "range"),
        (with("Region", json!("eu")), ErrorKind::InvalidField, "/Region", "attribute"),
        (with("region", json!({})), ErrorKind::InvalidField, "/region", "type"),
        (with("region", json!(1.5)), ErrorKind::InvalidField, "/region", "type"),
        (with("sealbus", json!("x")), ErrorKind::InvalidField, "/sealbus", "reserved"),
        (with("data_base64", json!("AAAA")), ErrorKind::InvalidField, "/data_base64", "exclusive"),
        (with("datacontenttype", json!("text/plain")), ErrorKind::InvalidField, "/data", "type"),
        (structured(&json!([])), ErrorKind::InvalidField, "", "type"),
        (
            structured(&json!({ "specversion": "1.0", "type": "a", "subject": "p", "data_base64": "A" })),
            ErrorKind::InvalidField,
            "/data_base64",
            "contentEncoding",
        ),
    ];
    for (result, kind, pointer, rule) in cases {
        let refused = result.expect_err(pointer);
        assert_eq!(
            (refused.kind, refused.errors[0].pointer.as_str(), refused.errors[0].rule.as_str()),
            (kind, pointer, rule)
        );
    }
    let twice = [("ce-id".to_owned(), "1".to_owned()), ("CE-ID".to_owned(), "2".to_owned())];
    assert_eq!(binary(&twice, b"").expect_err("an attribute twice").errors[0].rule, "unique");
}
