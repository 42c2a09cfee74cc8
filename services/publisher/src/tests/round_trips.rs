//! CloudEvents from a publisher back to it, in each mode.

use axum::http::Method;
use serde_json::{Value, json};

use crate::tests::support::{Publisher, TestResponse, send};

/// Accepts one event and pages as CloudEvents.
const CLOUDEVENTS: &str = "application/cloudevents+json, application/cloudevents-batch+json";

async fn cloudevent(publisher: &Publisher, path: &str) -> Value {
    let request = publisher.request_as(Method::GET, path, "acme").header("accept", CLOUDEVENTS);
    send(request).await.body
}

async fn post(publisher: &Publisher, media_type: &str, body: String) -> TestResponse {
    let request = publisher.request_as(Method::POST, "/v1/events", "acme").header("content-type", media_type);
    send(request.body(body)).await
}

/// Publishes an event again as the bus shows it, in structured, binary and batch mode, and asserts that it is recognised.
async fn assert_recognised(publisher: &Publisher, stored: &TestResponse) {
    assert_eq!(stored.status, 201, "{stored:?}");
    let path = format!("/v1/events/{}", stored.body["id"].as_str().unwrap());
    let shown = cloudevent(publisher, &path).await;
    let structured = post(publisher, "application/cloudevents+json", shown.to_string()).await;
    assert_eq!((structured.status, &structured.body), (200, &stored.body), "{shown}");

    let batch = post(publisher, "application/cloudevents-batch+json", json!([shown]).to_string()).await;
    assert_eq!((batch.status, &batch.body["results"][0]["event"]), (200, &stored.body), "{shown}");

    let data = publisher.get(&format!("{path}/data"), "acme").await;
    let of_event = data.headers.iter().filter(|(name, _)| name.as_str().starts_with("ce-") || *name == "content-type");
    let request = publisher.request_as(Method::POST, "/v1/events", "acme");
    let request = of_event.fold(request, |request, (name, value)| request.header(name, value));
    let binary = send(request.body(data.bytes.clone())).await;
    assert_eq!((binary.status, &binary.body), (200, &stored.body), "{data:?}");
}

#[tokio::test]
async fn an_event_that_is_published_again_as_it_is_shown_is_recognised() {
    let publisher = Publisher::start().await;
    let events = [
        json!({ "type": "any.a" }),
        json!({ "type": "any.a", "id": "A-1" }),
        json!({ "type": "any.a", "id": "A-1", "source": "/orders" }),
        json!({ "type": "any.a", "id": "A-2", "source": "bus.test" }),
        json!({ "type": "any.a", "id": "0197f2a1-0000-7000-8000-000000000001", "data": { "a": [1.5, null] } }),
        json!({ "type": "any.a", "data": "text", "priority": "high", "deliver_by": "2026-11-20T10:00:00Z",
                "occurred_at": "2026-11-20T10:00:00+01:00", "correlation_id": "ü", "metadata": { "region": "e\"u", "n": 3 } }),
        json!({ "type": "quiet.a", "data": "hush" }),
    ];
    for event in &events {
        assert_recognised(&publisher, &publisher.publish("p", event).await).await;
    }
    assert_eq!(publisher.events_of("p").await.len(), events.len());

    // A page that is published as a batch, with a new event among them.
    let mut batch = cloudevent(&publisher, "/v1/plans/p/events").await;
    let new =
        json!({ "specversion": "1.0", "type": "any.a", "subject": "p", "id": "A-9", "source": "s", "sequence": "1" });
    batch.as_array_mut().unwrap().insert(2, new);
    let answer = post(&publisher, "application/cloudevents-batch+json", batch.to_string()).await;
    let statuses: Vec<_> =
        answer.body["results"].as_array().unwrap().iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 201, 200, 200, 200, 200, 200], "{answer:?}");

    // An event that differs from the shown one is another event.
    let mut other = cloudevent(&publisher, "/v1/plans/p/events").await[2].clone();
    other["data"] = json!("changed");
    post(&publisher, "application/cloudevents+json", other.to_string()).await.assert_problem("id_conflict");
}

#[tokio::test]
async fn data_that_is_not_json_is_recognised() {
    let publisher = Publisher::start().await;
    let attributes = json!({ "specversion": "1.0", "type": "any.a", "subject": "p", "source": "s" });
    let contents = [
        json!({ "datacontenttype": "text/plain", "data": "a \"text\"\n" }),
        json!({ "datacontenttype": "text/csv; charset=utf-8", "data": "ä;€" }),
        json!({ "datacontenttype": "image/png", "data_base64": "AJ+Slg==" }),
        json!({ "datacontenttype": "text/plain", "data_base64": "AJ+Slg==" }),
        json!({ "datacontenttype": "text/plain; charset=iso-8859-1", "data_base64": "w6Q=" }),
        json!({ "data_base64": "AJ+Slg==" }),
        json!({ "datacontenttype": "application/vnd.acme+json", "data_base64": "eyJhIjoxfQ==" }),
    ];
    for (index, content) in contents.iter().enumerate() {
        let mut event = attributes.clone();
        event["id"] = json!(index.to_string());
        event.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        let stored = post(&publisher, "application/cloudevents+json", event.to_string()).await;
        assert_recognised(&publisher, &stored).await;
        let shown = cloudevent(&publisher, stored.header("location")).await;
        let expected = match index {
            6 => json!({ "datacontenttype": "application/vnd.acme+json", "data": { "a": 1 } }),
            _ => content.clone(),
        };
        for name in ["data", "data_base64", "datacontenttype"] {
            assert_eq!(shown.get(name), expected.get(name), "{content}");
        }
    }
}

#[tokio::test]
async fn json_in_base64_is_json() {
    let publisher = Publisher::start().await;
    let event = |media_type: &str, data: &str| {
        json!({ "specversion": "1.0", "type": "order.placed", "subject": "p", "source": "s",
                "datacontenttype": media_type, "data_base64": data })
    };
    let post = async |event: Value| post(&publisher, "application/cloudevents+json", event.to_string()).await;
    for media_type in ["application/json", "application/vnd.acme+json", "text/json; charset=utf-8"] {
        // {"amount": "10.00"}
        let stored = post(event(media_type, "eyJhbW91bnQiOiAiMTAuMDAifQ==")).await;
        assert_eq!((stored.status, &stored.body["data"]), (201, &json!({ "amount": "10.00" })), "{stored:?}");
        assert_eq!(stored.body["metadata"]["sealbus"].get("encoding"), None);
    }
    // {"amount":1, and {"a":1,"a":1}
    post(event("application/json", "eyJhbW91bnQiOjEs")).await.assert_field_problem(
        "json_syntax",
        "/data_base64",
        "json_syntax",
    );
    post(event("application/json", "eyJhIjoxLCJhIjoxfQ==")).await.assert_problem("json_duplicate_key");
}

#[tokio::test]
async fn attributes_in_headers_may_be_quoted_and_percent_encoded() {
    let publisher = Publisher::start().await;
    let publish = async |name: &'static str, value: &'static str| {
        let request = publisher.request_as(Method::POST, "/v1/events", "acme");
        let headers =
            [("ce-specversion", "1.0"), ("ce-type", "any.a"), ("ce-source", "\"s\""), ("ce-subject", "\"p%2D1\"")];
        let headers = headers.into_iter().filter(|(other, _)| *other != name).chain([(name, value)]);
        send(headers.fold(request, |request, (name, value)| request.header(name, value))).await
    };
    let cases = [
        ("a b", "a b"),
        ("\"a b\"", "a b"),
        (r#""a \"b\" \\ \c""#, r#"a "b" \ c"#),
        ("a%20%22b%22", "a \"b\""),
        ("\"Euro%20%E2%82%AC\"", "Euro €"),
        ("%2520", "%20"),
        ("100%", "100%"),
        ("\"half", "\"half"),
        ("a\\b", "a\\b"),
    ];
    for (value, text) in cases {
        let stored = publish("ce-correlationid", value).await;
        assert_eq!(
            (stored.status, &stored.body["correlation_id"], &stored.body["plan"], &stored.body["source"]),
            (201, &json!(text), &json!("p-1"), &json!("s")),
            "{value}"
        );
    }
    publish("ce-subject", "\"a b\"").await.assert_field_problem("invalid_name", "/subject", "name");
    publish("ce-correlationid", "%ff").await.assert_field_problem("invalid_field", "/correlationid", "utf8");
    publish("ce-datacontenttype", "text/plain").await.assert_field_problem(
        "invalid_field",
        "/datacontenttype",
        "attribute",
    );
    // Other headers may hold any bytes.
    let request = publisher.request_as(Method::POST, "/v1/events", "acme").header("x-comment", &b"caf\xe9"[..]);
    let request = request.header("content-type", "application/cloudevents+json").body("{}");
    send(request).await.assert_field_problem("invalid_field", "/specversion", "const");
}
