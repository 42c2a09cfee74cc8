//! Pages and streams, with a scripted service.

mod script;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use sealbus_client::{Client, ClientConfig, ClientError, Event, Scope, TrailQuery};
use serde_json::{Value, json};

use crate::script::{Service, config, event, refusal, response, truncated};

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn whole_trail_reads_all_pages() {
    let page = |seqs: &[u64], next: Value| {
        let events: Vec<Value> = seqs.iter().map(|seq| event("order-42", *seq)).collect();
        response(200, &json!({ "events": events, "total": 3, "next": next }))
    };
    let service = Service::start([page(&[1, 2], json!("abc+/=")), page(&[3], Value::Null)]).await;
    let query =
        TrailQuery { limit: Some(2), types: vec!["payment.*".into(), "receipt.x".into()], ..TrailQuery::default() };
    let trail = service.client().whole_trail("order-42", query);
    let events = tokio::spawn(trail.try_collect::<Vec<Event>>()).await.expect("no panic").expect("two pages");
    assert_eq!(seqs(&events), [1, 2, 3]);
    let lines: Vec<String> = service.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/plans/order-42/events?limit=2&type=payment.*%2Creceipt.x",
            "GET /v1/plans/order-42/events?after=abc%2B%2F%3D&limit=2&type=payment.*%2Creceipt.x",
        ]
    );
}

#[tokio::test]
async fn a_response_that_is_too_long_is_refused() {
    let long = || "x".repeat(2_000).into_response();
    let refused = || (axum::http::StatusCode::BAD_REQUEST, "x".repeat(2_000)).into_response();
    let endless = || {
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1 << 16]));
        axum::body::Body::from_stream(pieces).into_response()
    };
    for answer in [long(), refused(), endless()] {
        let service = Service::start([answer]).await;
        let client = Client::new(ClientConfig { max_response_bytes: 1_000, ..config([service.url.as_str()]) })
            .expect("a client");
        let error = client.catalog().await.expect_err("too long");
        assert!(error.to_string().ends_with("the body is longer than 1000 bytes"), "{error}");
        assert_eq!(service.requests().len(), 1, "the call was repeated");
    }
    let endless_line = endless();
    let service = Service::start([endless_line]).await;
    let mut events = std::pin::pin!(service.client().tail(Scope::All, Some(0)));
    let error = events.next().await.expect("an item").expect_err("too long");
    assert!(error.to_string().ends_with("a message is longer than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn whole_log_reads_to_the_end_of_the_log() {
    let page = |seqs: &[u64]| {
        let events: Vec<Value> = seqs.iter().map(|seq| event("any", *seq)).collect();
        response(200, &json!({ "events": events }))
    };
    let service = Service::start([page(&[1, 2]), page(&[3]), page(&[])]).await;
    let events: Vec<Event> = service.client().whole_log(101).try_collect().await.expect("three pages");
    assert_eq!(seqs(&events), [1, 2, 3]);
    let lines: Vec<String> = service.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        ["GET /v1/events?from_index=101", "GET /v1/events?from_index=103", "GET /v1/events?from_index=104"]
    );
}

#[tokio::test]
async fn whole_log_passes_a_page_without_events_that_has_a_next_page() {
    let page = |events: &[Value], next: Value| response(200, &json!({ "events": events, "next": next }));
    let service =
        Service::start([page(&[], json!("10000")), page(&[event("any", 7)], Value::Null), page(&[], Value::Null)])
            .await;
    let events: Vec<Event> = service.client().whole_log(0).try_collect().await.expect("three pages");
    assert_eq!(seqs(&events), [7]);
    let lines: Vec<String> = service.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines[..2], ["GET /v1/events?from_index=0", "GET /v1/events?from_index=10000"]);
}

#[tokio::test]
async fn not_found_is_none_and_other_refusals_are_errors() {
    let missing = || refusal(404, "not_found", &Value::Null);
    let head = json!({ "seq": 7, "hash": "ab".repeat(32) });
    let service =
        Service::start([missing(), missing(), response(200, &head), refusal(403, "forbidden", &Value::Null)]).await;
    let client = service.client();
    assert_eq!(client.head("order-42", None).await.expect("answered"), None);
    assert_eq!(client.event(uuid::Uuid::nil()).await.expect("answered"), None);
    assert_eq!(client.head("order-42", Some(9)).await.expect("answered").expect("the plan has a head").seq, 7);
    assert_eq!(client.head("order-42", None).await.expect_err("forbidden").code(), Some("forbidden"));
    assert_eq!(service.requests()[2].line, "GET /v1/plans/order-42/head?below_index=9");
}

#[tokio::test]
async fn a_verification_has_the_findings_of_the_response() {
    let finding = json!({ "seq": 3, "index": 2, "verdict": "LINK", "detail": "prev is another" });
    let body = json!({ "plan": "order-42", "verdict": "LINK", "seq": 3, "index": 2, "events": 7, "sealed": 5, "unchecked": 2, "not_checked": ["tree"], "findings": [finding], "omitted": 4 });
    let service = Service::start([response(200, &body)]).await;
    let verification = service.client().verification("order-42").await.expect("answered");
    assert_eq!((verification.verdict.as_str(), verification.seq, verification.sealed), ("LINK", Some(3), 5));
    assert_eq!(serde_json::to_value(&verification).expect("JSON"), body);
}

fn sse(text: String) -> Response {
    ([("content-type", "text/event-stream")], text).into_response()
}

/// Returns an event as a message of a stream.
fn message(seq: u64) -> String {
    format!("id: {seq}\ndata: {}\n\n", event("order-42", seq))
}

#[tokio::test]
async fn a_tail_resumes_after_the_last_complete_event() {
    let service = Service::start([
        sse(format!("{}: alive\n\n{}", message(5), message(6))),
        refusal(503, "overloaded", &Value::Null),
        truncated("id: 7\nda"),
        sse(message(7)),
    ])
    .await;
    let tail = service.client().tail(Scope::Plan("order-42".into()), Some(4));
    // Spawning checks that the stream is `Send`.
    let events = tokio::spawn(tail.take(3).try_collect::<Vec<Event>>()).await.expect("no panic").expect("three events");
    assert_eq!(seqs(&events), [5, 6, 7]);
    let requests = service.requests();
    assert!(requests.iter().all(|request| request.line == "GET /v1/plans/order-42/events/stream"));
    let ids: Vec<_> = requests.iter().map(|request| request.header("last-event-id")).collect();
    assert_eq!(
        ids,
        [Some("4"), Some("6"), Some("6"), Some("6")],
        "an incomplete event changed where the stream resumes"
    );
}

#[tokio::test]
async fn a_tail_from_now_resumes_after_the_id_that_opened_the_stream() {
    let service = Service::start([sse("id: 41\n\n".into()), sse(message(42))]).await;
    let tail = service.client().tail(Scope::All, None);
    let events: Vec<Event> = tail.take(1).try_collect().await.expect("an event");
    assert_eq!(seqs(&events), [42]);
    let requests = service.requests();
    assert_eq!(requests[0].line, "GET /v1/events/stream");
    assert_eq!((requests[0].header("last-event-id"), requests[1].header("last-event-id")), (None, Some("41")));
}

#[tokio::test]
async fn a_silent_tail_is_opened_again() {
    let silent = axum::body::Body::from_stream(futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    let service = Service::start([silent.into_response(), sse(message(5))]).await;
    let stream_idle_timeout = Duration::from_millis(20);
    let client = Client::new(ClientConfig { stream_idle_timeout, ..config([service.url.as_str()]) }).expect("a client");
    let tail = client.tail(Scope::Plan("order-42".into()), Some(4));
    let events: Vec<Event> = tail.take(1).try_collect().await.expect("an event");
    assert_eq!(seqs(&events), [5]);
}

#[tokio::test]
async fn a_tail_ends_with_a_refusal() {
    let service = Service::start([refusal(403, "forbidden", &Value::Null)]).await;
    let mut tail = std::pin::pin!(service.client().tail(Scope::All, None));
    let error = tail.next().await.expect("an item").expect_err("refused");
    assert!(matches!(error, ClientError::Refused(_)));
    assert!(tail.next().await.is_none());
}
