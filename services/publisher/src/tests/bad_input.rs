//! What is wrong with a publish call, one test each: its code, and that nothing was written.

use serde_json::{Value, json};

use crate::tests::support::{Answer, Publisher, answer};

/// Publishes text to plan `p` of a new ledger, and checks that the plan is still empty.
async fn refused(text: impl Into<reqwest::Body>) -> Answer {
    let publisher = Publisher::start().await;
    let answer = publisher.publish_text(text).await;
    assert!(publisher.trail("p").await.is_empty());
    answer
}

#[tokio::test]
async fn not_json() {
    refused("amount=10").await.is_field_problem("json_syntax", "", "json_syntax");
}

#[tokio::test]
async fn no_body() {
    refused("").await.is_problem("json_syntax");
}

#[tokio::test]
async fn not_utf8() {
    refused(&b"{\"type\":\"any.a\",\"data\":\"\xff\"}"[..]).await.is_problem("json_utf8");
}

#[tokio::test]
async fn a_member_of_the_wrong_type() {
    refused(r#"{"type":17}"#).await.is_field_problem("invalid_field", "/type", "type");
}

#[tokio::test]
async fn a_body_of_the_wrong_type() {
    refused(r#""any.a""#).await.is_field_problem("invalid_field", "", "type");
}

#[tokio::test]
async fn an_unknown_member() {
    refused(r#"{"type":"any.a","corelation_id":"c"}"#).await.is_field_problem(
        "invalid_field",
        "/corelation_id",
        "unknown",
    );
}

#[tokio::test]
async fn an_empty_array() {
    refused("[]").await.is_field_problem("invalid_field", "", "minItems");
}

#[tokio::test]
async fn an_array_that_is_too_long() {
    let events = vec![json!({ "type": "any.a" }); 1_001];
    refused(json!(events).to_string()).await.is_problem("too_large");
}

#[tokio::test]
async fn an_unknown_event_type() {
    let problem = refused(r#"{"type":"order.plaeced"}"#).await.is_problem("unknown_event_type");
    assert!(problem["detail"].as_str().unwrap().contains("order.plaeced"), "{problem}");
}

#[tokio::test]
async fn an_unknown_version_of_a_known_type() {
    refused(r#"{"type":"order.placed","version":2,"data":{"amount":"1"}}"#).await.is_field_problem(
        "unknown_event_type",
        "/type",
        "catalog",
    );
}

#[tokio::test]
async fn data_against_its_schema() {
    refused(r#"{"type":"order.placed","data":{"amount":10}}"#).await.is_field_problem(
        "schema_violation",
        "/data/amount",
        "type",
    );
    refused(r#"{"type":"payment.settled","data":{}}"#).await.is_field_problem(
        "schema_violation",
        "/data/amount",
        "required",
    );
}

#[tokio::test]
async fn a_type_of_the_bus_s_own() {
    refused(r#"{"type":"key.added","data":{}}"#).await.is_field_problem("forbidden", "/type", "reserved");
}

#[tokio::test]
async fn a_type_that_wants_encryption() {
    refused(r#"{"type":"secret.kept","data":{}}"#).await.is_field_problem("invalid_field", "/type", "content");
}

#[tokio::test]
async fn duplicate_keys() {
    refused(r#"{"type":"any.a","data":{"a":1,"\u0061":2}}"#).await.is_problem("json_duplicate_key");
    refused(r#"{"type":"any.a","type":"any.b"}"#).await.is_problem("json_duplicate_key");
}

#[tokio::test]
async fn an_integer_beyond_2_to_the_53() {
    refused(r#"{"type":"any.a","data":9007199254740993}"#).await.is_field_problem(
        "json_integer_range",
        "/data",
        "json_integer_range",
    );
}

#[tokio::test]
async fn a_number_beyond_doubles() {
    refused(r#"{"type":"any.a","data":1.5e999}"#).await.is_problem("json_number_range");
}

#[tokio::test]
async fn a_lone_surrogate() {
    refused(r#"{"type":"any.a","data":"\ud800"}"#).await.is_field_problem(
        "json_lone_surrogate",
        "/data",
        "json_lone_surrogate",
    );
}

#[tokio::test]
async fn nul() {
    refused(r#"{"type":"any.a","data":{"a\u0000":1}}"#).await.is_problem("json_nul");
}

#[tokio::test]
async fn data_that_is_too_large() {
    let event = json!({ "type": "any.a", "data": "x".repeat(262_143) });
    refused(event.to_string()).await.is_field_problem("json_size", "/data", "json_size");
}

#[tokio::test]
async fn metadata_that_is_too_large() {
    let event = json!({ "type": "any.a", "metadata": { "m": "x".repeat(16_384) } });
    refused(event.to_string()).await.is_field_problem("json_size", "/metadata", "json_size");
}

#[tokio::test]
async fn a_body_that_is_too_large() {
    refused(" ".repeat(4 * 1024 * 1024 + 1)).await.is_problem("too_large");
}

#[tokio::test]
async fn a_body_of_unknown_length_that_is_too_large() {
    let pieces = (0..80).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    refused(reqwest::Body::wrap_stream(futures::stream::iter(pieces))).await.is_problem("too_large");
}

#[tokio::test]
async fn data_that_is_too_deep() {
    let deep = |levels: usize| format!(r#"{{"type":"any.a","data":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    refused(deep(65)).await.is_problem("json_depth");
    refused(deep(100_000)).await.is_problem("json_depth");
}

#[tokio::test]
async fn bad_plan_names() {
    let publisher = Publisher::start().await;
    for plan in ["a%20b", "a%2Fb", ".a", "_keys", "_deliveries", "caf%C3%A9", "%ff", "a%7Cb", &"p".repeat(201)] {
        let answer = publisher.publish(plan, &json!({ "type": "any.a" })).await;
        answer.is_field_problem("invalid_name", "plan", "name");
    }
}

#[tokio::test]
async fn a_bad_tenant_name() {
    let publisher = Publisher::start().await;
    for tenant in ["Acme", "_system", "a b"] {
        let call = publisher.posting("p").header("sealbus-tenant", tenant).json(&json!({ "type": "any.a" }));
        answer(call).await.is_field_problem("invalid_name", "Sealbus-Tenant", "name");
    }
}

#[tokio::test]
async fn the_wrong_expected_head() {
    let publisher = Publisher::start().await;
    let call = publisher.posting("p").header("if-match", "\"6\"").json(&json!({ "type": "any.a" }));
    assert_eq!(answer(call).await.is_problem("head_mismatch")["head"], 0);
    assert!(publisher.trail("p").await.is_empty());
}

#[tokio::test]
async fn an_id_used_for_something_else() {
    let publisher = Publisher::start().await;
    let event = |data: &str| json!({ "type": "any.a", "id": "A-1", "source": "/orders", "data": data });
    assert_eq!(publisher.publish("p", &event("one")).await.status, 201);
    publisher.publish("p", &event("two")).await.is_problem("id_conflict");
    let trail = publisher.trail("p").await;
    assert_eq!((trail.len(), &trail[0]["data"]), (1, &Value::from("one")));
}
