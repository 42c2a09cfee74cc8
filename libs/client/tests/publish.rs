//! Publishing, retries and refusals, with a scripted service.

mod script;

use std::time::{Duration, Instant};

use axum::response::IntoResponse;
use sealbus_client::{Client, ClientConfig, ClientError, Expect, NewEvent, Outcome};
use serde_json::{Value, json};

use crate::script::{Service, config, event, refusal, response, truncated, unused_url};

fn settled() -> NewEvent {
    NewEvent::new("payment.settled", json!({ "amount": "10.00" }))
}

#[tokio::test]
async fn publish_sends_token_tenant_and_id_and_returns_the_event() {
    let service = Service::start([response(201, &event("order-42", 7)), response(200, &event("order-42", 7))]).await;
    let client =
        Client::new(ClientConfig { tenant: Some("acme".into()), ..config([service.url.as_str()]) }).expect("a client");
    let mut event = settled();
    event.metadata.insert("reason".into(), json!("test"));

    let published = client.publish("order-42", &event).await.expect("published");
    assert_eq!((published.new, published.event.seq), (true, 7));
    let again = client.publish("order-42", &event).await.expect("published before");
    assert_eq!((again.new, again.event.seq), (false, 7));

    let [first, second] = &service.requests()[..] else { panic!("two requests") };
    assert_eq!(first.line, "POST /v1/plans/order-42/events");
    assert_eq!(first.header("authorization"), Some("Bearer the-token"));
    assert_eq!(first.header("sealbus-tenant"), Some("acme"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let expected = json!({ "id": event.id, "type": "payment.settled", "data": { "amount": "10.00" }, "metadata": { "reason": "test" } });
    assert_eq!(first.json(), expected, "an optional member that is not set was sent");
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn retryable_failures_are_retried_with_the_same_id() {
    let gateway =
        |status| (axum::http::StatusCode::from_u16(status).unwrap(), "<html>Bad Gateway</html>").into_response();
    let service = Service::start([
        refusal(503, "ledger_unavailable", &json!({ "ids": ["0197f2a0-0000-7000-8000-000000000001"] })),
        refusal(503, "overloaded", &Value::Null),
        refusal(429, "rate_limited", &Value::Null),
        gateway(502),
        gateway(504),
        truncated("{\"id\":"),
        response(201, &event("order-42", 1)),
    ])
    .await;
    let client = service.client();
    // Spawning checks that the future is `Send`.
    let published = tokio::spawn(async move { client.publish("order-42", &settled()).await }).await.expect("no panic");
    assert!(published.expect("the seventh attempt succeeds").new);
    let requests = service.requests();
    assert_eq!(requests.len(), 7);
    assert!(requests.iter().all(|request| request.body == requests[0].body), "a retry sent another body");
}

#[tokio::test]
async fn other_refusals_are_not_retried() {
    for (status, code) in [
        (400, "invalid_field"),
        (401, "unauthenticated"),
        (403, "cross_tenant"),
        (404, "not_found"),
        (409, "id_conflict"),
        (413, "too_large"),
        (422, "schema_violation"),
        (500, "internal"),
    ] {
        let fields = json!({ "errors": [{ "pointer": "/data/amount", "rule": "type", "detail": "not a string" }] });
        let service = Service::start([refusal(status, code, &fields)]).await;
        let error = service.client().publish("order-42", &settled()).await.expect_err("refused");
        assert_eq!(error.code(), Some(code));
        let ClientError::Refused(problem) = &error else { panic!("{error:?}") };
        assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (status, "/data/amount"));
        assert_eq!(
            error.to_string(),
            format!("{code} ({status}): A detail\n  /data/amount violates type: not a string")
        );
        assert_eq!(service.requests().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn the_expected_head_is_sent_and_a_mismatch_has_the_actual_one() {
    let mismatch = refusal(412, "head_mismatch", &json!({ "head": 9 }));
    let service = Service::start([mismatch, response(201, &event("order-42", 1))]).await;
    let client = service.client();
    let error = client.publish_expecting("order-42", &settled(), Expect::Head(6)).await.expect_err("the head is 9");
    let ClientError::Refused(problem) = error else { panic!("{error:?}") };
    assert_eq!(problem.head, Some(9));
    client.publish_expecting("order-42", &settled(), Expect::Empty).await.expect("empty");
    let requests = service.requests();
    assert_eq!((requests[0].header("if-match"), requests[0].header("if-none-match")), (Some("\"6\""), None));
    assert_eq!((requests[1].header("if-match"), requests[1].header("if-none-match")), (None, Some("*")));
}

#[tokio::test]
async fn a_retry_waits_for_retry_after() {
    let mut slow_down = refusal(429, "rate_limited", &Value::Null);
    slow_down.headers_mut().insert("retry-after", "1".parse().unwrap());
    let service = Service::start([slow_down, response(201, &event("order-42", 1))]).await;
    let began = Instant::now();
    service.client().publish("order-42", &settled()).await.expect("after a second");
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_unreachable_replica_is_skipped() {
    let service = Service::start((1..=8).map(|seq| response(201, &event("any", seq)))).await;
    let client = Client::new(config([unused_url().await.as_str(), service.url.as_str()])).expect("a client");
    // Some of these plans try the unreachable replica first.
    for plan in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        client.publish(plan, &settled()).await.expect("the other replica is reachable");
    }
}

#[tokio::test]
async fn all_calls_about_a_plan_go_to_the_same_replica() {
    let responses = || (1..=100).map(|seq| response(201, &event("any", seq)));
    let services = [Service::start(responses()).await, Service::start(responses()).await];
    let client = Client::new(config(services.iter().map(|service| service.url.as_str()))).expect("a client");
    for plan in (0..50).map(|n| format!("plan-{n}")) {
        for _ in 0..2 {
            client.publish(&plan, &settled()).await.expect("published");
        }
    }
    for service in &services {
        let mut lines: Vec<String> = service.requests().into_iter().map(|request| request.line).collect();
        let requests = lines.len();
        lines.dedup();
        assert_eq!(requests, 2 * lines.len(), "the calls about a plan went to different replicas");
        assert!(requests > 0, "a replica has no plan");
    }
}

#[tokio::test]
async fn the_last_error_is_returned_after_the_retry_budget() {
    let client = |url: &str| {
        Client::new(ClientConfig { retry_budget: Duration::from_millis(50), ..config([url]) }).expect("a client")
    };

    // A service that always refuses.
    let unavailable =
        || refusal(503, "ledger_unavailable", &json!({ "ids": ["0197f2a0-0000-7000-8000-000000000001"] }));
    let service = Service::start((0..1000).map(|_| unavailable())).await;
    let error = client(&service.url).publish("order-42", &settled()).await.expect_err("refused");
    let ClientError::Refused(problem) = &error else { panic!("{error:?}") };
    assert_eq!(problem.ids, ["0197f2a0-0000-7000-8000-000000000001"]);
    assert!(service.requests().len() > 1);

    // A URL that cannot be reached.
    let url = unused_url().await;
    let error = client(&url).publish("order-42", &settled()).await.expect_err("unreachable");
    assert_eq!(error.to_string(), format!("no answer from {url}"));
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert!(source.contains("onnection refused"), "{source}");
    assert!(!format!("{error:?}").contains("the-token"));
}

#[tokio::test]
async fn a_response_of_another_service_is_an_error() {
    let service = Service::start([(axum::http::StatusCode::OK, "<html>Welcome</html>").into_response()]).await;
    let error = service.client().publish("order-42", &settled()).await.expect_err("a page");
    assert!(matches!(error, ClientError::Unexpected { status: 200, .. }), "{error:?}");
    assert!(error.to_string().contains("/v1/plans/order-42/events, status 200: cannot parse the body"), "{error}");
}

#[tokio::test]
async fn the_name_of_a_plan_is_percent_encoded_or_refused() {
    let service = Service::start([response(201, &event("any", 1))]).await;
    let client = service.client();
    client.publish("a/b c?d#e%41", &settled()).await.expect("published");
    assert_eq!(service.requests()[0].line, "POST /v1/plans/a%2Fb%20c%3Fd%23e%2541/events");
    for plan in ["", ".", ".."] {
        assert!(matches!(client.publish(plan, &settled()).await, Err(ClientError::Usage(_))), "{plan:?}");
    }
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn a_batch_is_one_request() {
    let both = json!({ "events": [event("order-42", 1), event("order-42", 2)] });
    let service = Service::start([response(201, &both), response(200, &both)]).await;
    let events = [settled(), settled()];
    let batch = service.client().publish_batch("order-42", &events, Expect::Any).await.expect("published");
    assert!(batch.new);
    assert_eq!(batch.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
    assert!(!service.client().publish_batch("order-42", &events, Expect::Any).await.expect("again").new);
    assert_eq!(service.requests()[0].json()[1]["id"], json!(events[1].id));
}

#[tokio::test]
async fn only_retryable_events_of_a_cloudevents_batch_are_sent_again() {
    let result = |status: u16, seq| json!({ "status": status, "event": event("any", seq) });
    let problem = |status: u16, code: &str| json!({ "status": status, "problem": { "status": status, "code": code } });
    let first = json!({ "results": [result(201, 1), problem(503, "overloaded"), problem(422, "schema_violation"), problem(503, "overloaded")] });
    let second = json!({ "results": [result(201, 2), result(200, 3)] });
    let service = Service::start([response(200, &first), response(200, &second)]).await;
    let mut events: Vec<Value> =
        (0..4).map(|n| json!({ "specversion": "1.0", "type": "payment.settled", "subject": n.to_string() })).collect();
    // The service does not distinguish null from a missing id.
    events[3]["id"] = Value::Null;

    let outcomes = service.client().publish_cloudevents(&events).await.expect("answered");
    let outcomes: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Stored(published) => format!("{} {}", published.event.seq, published.new),
            Outcome::Refused(problem) => problem.code.clone(),
        })
        .collect();
    assert_eq!(outcomes, ["1 true", "2 true", "schema_violation", "3 false"]);

    let [first, second] = &service.requests()[..] else { panic!("two requests") };
    assert_eq!(first.header("content-type"), Some("application/cloudevents-batch+json"));
    let (first, second) = (first.json(), second.json());
    assert!(first[0]["id"].is_string() && first[3]["id"].is_string(), "an event was sent without an id");
    assert_eq!(json!([first[1], first[3]]), second, "a retry sent another id");
}
