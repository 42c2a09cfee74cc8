//! Invalid publish requests, one test each: the error code, and that nothing was stored.

use serde_json::{Value, json};

use crate::tests::support::{Publisher, TestResponse, send};

/// Publishes text to plan `p` of a new ledger, and asserts that the plan is still empty.
async fn refused(text: impl Into<reqwest::Body>) -> TestResponse {
    let publisher = Publisher::start().await;
    let response = publisher.publish_text(text).await;
    assert!(publisher.events_of("p").await.is_empty(), "an event was stored");
    response
}

#[tokio::test]
async fn not_json() {
    refused("amount=10").await.assert_field_problem("json_syntax", "", "json_syntax");
}

#[tokio::test]
async fn no_body() {
    refused("").await.assert_problem("json_syntax");
}

#[tokio::test]
async fn not_utf8() {
    refused(&b"{\"type\":\"any.a\",\"data\":\"\xff\"}"[..]).await.assert_problem("json_utf8");
}

#[tokio::test]
async fn a_member_of_the_wrong_type() {
    refused(r#"{"type":17}"#).await.assert_field_problem("invalid_field", "/type", "type");
}

#[tokio::test]
async fn a_body_of_the_wrong_type() {
    refused(r#""any.a""#).await.assert_field_problem("invalid_field", "", "type");
}

#[tokio::test]
async fn an_unknown_member() {
    refused(r#"{"type":"any.a","corelation_id":"c"}"#).await.assert_field_problem(
        "invalid_field",
        "/corelation_id",
        "unknown",
    );
}

#[tokio::test]
async fn an_empty_array() {
    refused("[]").await.assert_field_problem("invalid_field", "", "minItems");
}

#[tokio::test]
async fn an_array_that_is_too_long() {
    let events = vec![json!({ "type": "any.a" }); 1_001];
    refused(json!(events).to_string()).await.assert_problem("too_large");
}

#[tokio::test]
async fn an_unknown_event_type() {
    let problem = refused(r#"{"type":"order.plaeced"}"#).await.assert_problem("unknown_event_type");
    assert!(problem["detail"].as_str().unwrap().contains("order.plaeced"), "{problem}");
}

#[tokio::test]
async fn an_unknown_version_of_a_known_type() {
    refused(r#"{"type":"order.placed","version":2,"data":{"amount":"1"}}"#).await.assert_field_problem(
        "unknown_event_type",
        "/type",
        "catalog",
    );
}

#[tokio::test]
async fn data_that_does_not_satisfy_its_schema() {
    refused(r#"{"type":"order.placed","data":{"amount":10}}"#).await.assert_field_problem(
        "schema_violation",
        "/data/amount",
        "type",
    );
    refused(r#"{"type":"payment.settled","data":{}}"#).await.assert_field_problem(
        "schema_violation",
        "/data/amount",
        "required",
    );
}

#[tokio::test]
async fn a_reserved_type() {
    refused(r#"{"type":"key.added","data":{}}"#).await.assert_field_problem("forbidden", "/type", "reserved");
}

#[tokio::test]
async fn an_encrypted_type_without_a_data_subject() {
    refused(r#"{"type":"secret.kept","data":{}}"#).await.assert_field_problem("invalid_field", "/type", "content");
}

#[tokio::test]
async fn duplicate_keys() {
    refused(r#"{"type":"any.a","data":{"a":1,"\u0061":2}}"#).await.assert_problem("json_duplicate_key");
    refused(r#"{"type":"any.a","type":"any.b"}"#).await.assert_problem("json_duplicate_key");
}

#[tokio::test]
async fn an_integer_beyond_2_to_the_53() {
    refused(r#"{"type":"any.a","data":9007199254740993}"#).await.assert_field_problem(
        "json_integer_range",
        "/data",
        "json_integer_range",
    );
}

#[tokio::test]
async fn a_number_beyond_doubles() {
    refused(r#"{"type":"any.a","data":1.5e999}"#).await.assert_problem("json_number_range");
}

#[tokio::test]
async fn a_lone_surrogate() {
    refused(r#"{"type":"any.a","data":"\ud800"}"#).await.assert_field_problem(
        "json_lone_surrogate",
        "/data",
        "json_lone_surrogate",
    );
}

#[tokio::test]
async fn nul() {
    refused(r#"{"type":"any.a","data":{"a\u0000":1}}"#).await.assert_problem("json_nul");
}

#[tokio::test]
async fn data_that_is_too_large() {
    let event = json!({ "type": "any.a", "data": "x".repeat(262_143) });
    refused(event.to_string()).await.assert_field_problem("json_size", "/data", "json_size");
}

#[tokio::test]
async fn metadata_that_is_too_large() {
    let event = json!({ "type": "any.a", "metadata": { "m": "x".repeat(16_384) } });
    refused(event.to_string()).await.assert_field_problem("json_size", "/metadata", "json_size");
}

#[tokio::test]
async fn metadata_of_the_largest_size() {
    // The limit counts what the caller gave: {"m":"…"}. The bus adds the id and the key.
    let publisher = Publisher::start().await;
    let event = json!({ "type": "any.a", "id": "i".repeat(1_024), "metadata": { "m": "x".repeat(16_384 - 8) } });
    let call = publisher.publish_request("p").header("idempotency-key", "k".repeat(200)).json(&event);
    let stored = send(call).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(publisher.get("/v1/plans/p/verification", "acme").await.body["verdict"], "ok");
}

#[tokio::test]
async fn an_event_far_beyond_its_limits() {
    let data = |part: &str, count: usize| format!(r#"[{{"type":"any.a","data":[{}]}}]"#, vec![part; count].join(","));
    refused(data("0", 20_000)).await.assert_problem("too_large");
    refused(data("{}", 1_000_000)).await.assert_problem("too_large");
    refused(data(&"9".repeat(15), 50_000)).await.assert_problem("too_large");
}

#[tokio::test]
async fn a_body_that_is_too_large() {
    refused(" ".repeat(4 * 1024 * 1024 + 1)).await.assert_problem("too_large");
}

#[tokio::test]
async fn a_body_of_unknown_length_that_is_too_large() {
    let pieces = (0..80).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    refused(reqwest::Body::wrap_stream(futures::stream::iter(pieces))).await.assert_problem("too_large");
}

#[tokio::test]
async fn data_that_is_too_deep() {
    let deep = |levels: usize| format!(r#"{{"type":"any.a","data":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    refused(deep(65)).await.assert_problem("json_depth");
    refused(deep(100_000)).await.assert_problem("json_depth");
}

#[tokio::test]
async fn invalid_plan_names() {
    let publisher = Publisher::start().await;
    for plan in ["a%20b", "a%2Fb", ".a", "_keys", "_deliveries", "caf%C3%A9", "%ff", "a%7Cb", &"p".repeat(201)] {
        let response = publisher.publish(plan, &json!({ "type": "any.a" })).await;
        response.assert_field_problem("invalid_name", "plan", "name");
    }
}

#[tokio::test]
async fn an_invalid_tenant_name() {
    let publisher = Publisher::start().await;
    for tenant in ["Acme", "_system", "a b"] {
        let call = publisher.publish_request("p").header("sealbus-tenant", tenant).json(&json!({ "type": "any.a" }));
        send(call).await.assert_field_problem("invalid_name", "Sealbus-Tenant", "name");
    }
}

#[tokio::test]
async fn an_expected_head_that_does_not_match() {
    let publisher = Publisher::start().await;
    let call = publisher.publish_request("p").header("if-match", "\"6\"").json(&json!({ "type": "any.a" }));
    assert_eq!(send(call).await.assert_problem("head_mismatch")["head"], 0);
    assert!(publisher.events_of("p").await.is_empty());
}

#[tokio::test]
async fn an_id_that_is_stored_with_other_content() {
    let publisher = Publisher::start().await;
    let event = |data: &str| json!({ "type": "any.a", "id": "A-1", "source": "/orders", "data": data });
    assert_eq!(publisher.publish("p", &event("one")).await.status, 201);
    publisher.publish("p", &event("two")).await.assert_problem("id_conflict");
    let events = publisher.events_of("p").await;
    assert_eq!((events.len(), &events[0]["data"]), (1, &Value::from("one")));
}
