//! What the client does about the answers to a publish.

mod script;

use std::time::{Duration, Instant};

use axum::response::IntoResponse;
use sealbus_client::{Client, ClientConfig, ClientError, Expect, NewEvent, Outcome};
use serde_json::{Value, json};

use crate::script::{Service, config, cut_off, event, nobody, refused, stored};

fn settled() -> NewEvent {
    NewEvent::new("payment.settled", json!({ "amount": "10.00" }))
}

#[tokio::test]
async fn a_publish_carries_token_tenant_and_id_and_gives_the_record() {
    let service = Service::start([stored(201, &event("order-42", 7)), stored(200, &event("order-42", 7))]).await;
    let client =
        Client::new(ClientConfig { tenant: Some("acme".into()), ..config([service.url.as_str()]) }).expect("a client");
    let mut event = settled();
    event.metadata.insert("reason".into(), json!("test"));

    let published = client.publish("order-42", &event).await.expect("published");
    assert_eq!((published.new, published.event.seq), (true, 7));
    let again = client.publish("order-42", &event).await.expect("published before");
    assert_eq!((again.new, again.event.seq), (false, 7));

    let [first, second] = &service.asked()[..] else { panic!("two requests") };
    assert_eq!(first.line, "POST /v1/plans/order-42/events");
    assert_eq!(first.header("authorization"), Some("Bearer the-token"));
    assert_eq!(first.header("sealbus-tenant"), Some("acme"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let expected = json!({ "id": event.id, "type": "payment.settled", "data": { "amount": "10.00" }, "metadata": { "reason": "test" } });
    assert_eq!(first.json(), expected, "what is not given is not sent");
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_id() {
    let gateway =
        |status| (axum::http::StatusCode::from_u16(status).unwrap(), "<html>Bad Gateway</html>").into_response();
    let service = Service::start([
        refused(503, "ledger_unavailable", &json!({ "ids": ["0197f2a0-0000-7000-8000-000000000001"] })),
        refused(503, "overloaded", &Value::Null),
        refused(429, "rate_limited", &Value::Null),
        gateway(502),
        gateway(504),
        cut_off("{\"id\":"),
        stored(201, &event("order-42", 1)),
    ])
    .await;
    let client = service.client();
    // Spawned: the future of a call can move between threads.
    let published = tokio::spawn(async move { client.publish("order-42", &settled()).await }).await.expect("no panic");
    assert!(published.expect("in the end").new);
    let asked = service.asked();
    assert_eq!(asked.len(), 7);
    assert!(asked.iter().all(|request| request.body == asked[0].body), "the same id each time");
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_never_tried_again() {
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
        let service = Service::start([refused(status, code, &fields)]).await;
        let error = service.client().publish("order-42", &settled()).await.expect_err("refused");
        assert_eq!(error.code(), Some(code));
        let ClientError::Refused(problem) = &error else { panic!("{error:?}") };
        assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (status, "/data/amount"));
        assert_eq!(error.to_string(), format!("{code} ({status}): A detail\n  /data/amount breaks type: not a string"));
        assert_eq!(service.asked().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn the_expected_head_is_asked_for() {
    let mismatch = refused(412, "head_mismatch", &json!({ "head": 9 }));
    let service = Service::start([mismatch, stored(201, &event("order-42", 1))]).await;
    let client = service.client();
    let error = client.publish_expecting("order-42", &settled(), Expect::Head(6)).await.expect_err("it is 9");
    let ClientError::Refused(problem) = error else { panic!("{error:?}") };
    assert_eq!(problem.head, Some(9));
    client.publish_expecting("order-42", &settled(), Expect::Empty).await.expect("empty");
    let asked = service.asked();
    assert_eq!((asked[0].header("if-match"), asked[0].header("if-none-match")), (Some("\"6\""), None));
    assert_eq!((asked[1].header("if-match"), asked[1].header("if-none-match")), (None, Some("*")));
}

#[tokio::test]
async fn a_service_that_asks_for_patience_is_left_alone_that_long() {
    let mut slow_down = refused(429, "rate_limited", &Value::Null);
    slow_down.headers_mut().insert("retry-after", "1".parse().unwrap());
    let service = Service::start([slow_down, stored(201, &event("order-42", 1))]).await;
    let began = Instant::now();
    service.client().publish("order-42", &settled()).await.expect("after a second");
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_replica_that_is_away_is_passed_over() {
    let service = Service::start((1..=8).map(|seq| stored(201, &event("any", seq)))).await;
    let client = Client::new(config([nobody().await.as_str(), service.url.as_str()])).expect("a client");
    // Some of these plans go to the absent replica first.
    for plan in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        client.publish(plan, &settled()).await.expect("by the other replica");
    }
}

#[tokio::test]
async fn a_plan_stays_with_its_replica() {
    let answers = || (1..=100).map(|seq| stored(201, &event("any", seq)));
    let services = [Service::start(answers()).await, Service::start(answers()).await];
    let client = Client::new(config(services.iter().map(|service| service.url.as_str()))).expect("a client");
    for plan in (0..50).map(|n| format!("plan-{n}")) {
        for _ in 0..2 {
            client.publish(&plan, &settled()).await.expect("published");
        }
    }
    for service in &services {
        let mut lines: Vec<String> = service.asked().into_iter().map(|request| request.line).collect();
        let requests = lines.len();
        lines.dedup();
        assert_eq!(requests, 2 * lines.len(), "both calls about a plan came here or none did");
        assert!(requests > 0, "each has some of the plans");
    }
}

#[tokio::test]
async fn patience_ends_with_the_last_failure() {
    let impatient = |url: &str| {
        Client::new(ClientConfig { patience: Duration::from_millis(50), ..config([url]) }).expect("a client")
    };
    let away = || refused(503, "ledger_unavailable", &json!({ "ids": ["0197f2a0-0000-7000-8000-000000000001"] }));
    let service = Service::start((0..1000).map(|_| away())).await;
    let error = impatient(&service.url).publish("order-42", &settled()).await.expect_err("away");
    let ClientError::Refused(problem) = &error else { panic!("{error:?}") };
    assert_eq!(problem.ids, ["0197f2a0-0000-7000-8000-000000000001"]);
    assert!(service.asked().len() > 1);

    let url = nobody().await;
    let error = impatient(&url).publish("order-42", &settled()).await.expect_err("nobody there");
    assert_eq!(error.to_string(), format!("no answer from {url}"));
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert!(source.contains("onnection refused"), "{source}");
    assert!(!format!("{error:?}").contains("the-token"));
}

#[tokio::test]
async fn another_service_is_told_from_sealbus() {
    let service = Service::start([(axum::http::StatusCode::OK, "<html>Welcome</html>").into_response()]).await;
    let error = service.client().publish("order-42", &settled()).await.expect_err("a page");
    assert!(matches!(error, ClientError::Unexpected { status: 200, .. }), "{error:?}");
    assert!(error.to_string().contains("/v1/plans/order-42/events answered 200 and not as Sealbus does"), "{error}");
}

#[tokio::test]
async fn a_plans_name_is_sent_as_it_is_or_not_at_all() {
    let service = Service::start([stored(201, &event("any", 1))]).await;
    let client = service.client();
    client.publish("a/b c?d#e%41", &settled()).await.expect("published");
    assert_eq!(service.asked()[0].line, "POST /v1/plans/a%2Fb%20c%3Fd%23e%2541/events");
    for plan in ["", ".", ".."] {
        assert!(matches!(client.publish(plan, &settled()).await, Err(ClientError::Usage(_))), "{plan:?}");
    }
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn an_array_is_sent_and_answered_as_one() {
    let both = json!({ "events": [event("order-42", 1), event("order-42", 2)] });
    let service = Service::start([stored(201, &both), stored(200, &both)]).await;
    let events = [settled(), settled()];
    let batch = service.client().publish_batch("order-42", &events).await.expect("published");
    assert!(batch.new);
    assert_eq!(batch.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
    assert!(!service.client().publish_batch("order-42", &events).await.expect("again").new);
    assert_eq!(service.asked()[0].json()[1]["id"], json!(events[1].id));
}

#[tokio::test]
async fn of_a_batch_only_what_may_pass_is_sent_again() {
    let line = |status: u16, seq| json!({ "status": status, "event": event("any", seq) });
    let problem = |status: u16, code: &str| json!({ "status": status, "problem": { "status": status, "code": code } });
    let first = json!({ "results": [line(201, 1), problem(503, "overloaded"), problem(422, "schema_violation"), problem(503, "overloaded")] });
    let second = json!({ "results": [line(201, 2), line(200, 3)] });
    let service = Service::start([stored(200, &first), stored(200, &second)]).await;
    let events: Vec<Value> =
        (0..4).map(|n| json!({ "specversion": "1.0", "type": "payment.settled", "subject": n.to_string() })).collect();

    let outcomes = service.client().publish_cloudevents(&events).await.expect("answered");
    let said: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Stored(published) => format!("{} {}", published.event.seq, published.new),
            Outcome::Refused(problem) => problem.code.clone(),
        })
        .collect();
    assert_eq!(said, ["1 true", "2 true", "schema_violation", "3 false"]);

    let [first, second] = &service.asked()[..] else { panic!("two requests") };
    assert_eq!(first.header("content-type"), Some("application/cloudevents-batch+json"));
    let (first, second) = (first.json(), second.json());
    assert!(first[0]["id"].is_string(), "an id is made before the first attempt");
    assert_eq!(json!([first[1], first[3]]), second, "and kept in the second");
}
