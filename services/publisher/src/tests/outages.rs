//! A publisher whose database or broker is unreachable, and one that is told to stop.

use std::time::Duration;

use axum::http::Method;
use sealbus_core::error_chain;
use sealbus_runtime::settings::SecretUrl;
use sealbus_testkit::{Nats, Postgres, eventually};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use crate::tests::support::{Publisher, TestResponse, create_ledger, send};

/// How long a publisher may take to stop before the test fails.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

async fn readiness(publisher: &Publisher) -> TestResponse {
    send(publisher.request(Method::GET, "/health/ready")).await
}

fn has_request_in_flight(publisher: &Publisher) -> bool {
    publisher.metrics().contains("sealbus_publisher_bodies 1")
}

#[tokio::test]
async fn without_its_database_a_publisher_is_not_ready_and_names_the_ids_to_retry_with() {
    let mut postgres = Postgres::own_cluster().await;
    let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
    let array = json!([{ "type": "any.a", "data": 1 }, { "type": "any.a", "data": 2 }]);
    assert_eq!(publisher.publish("p", &array).await.status, 201);

    // Without the database, publishing and reading fail, and the error names the ids of the events.
    postgres.kill().await;
    let refused = publisher.publish("p", &array).await;
    assert_eq!(refused.header("retry-after"), "1");
    let problem = refused.assert_problem("ledger_unavailable");
    let ids: Vec<Uuid> = serde_json::from_value(problem["ids"].clone()).expect("the problem has the ids of the events");
    assert_eq!(ids.len(), 2);
    for path in ["/v1/plans/p/events", "/v1/plans/p/head", "/v1/events", "/v1/plans", "/v1/plans/p/events/stream"] {
        publisher.get(path, "acme").await.assert_problem("ledger_unavailable");
    }
    eventually("the publisher is not ready", async || readiness(&publisher).await.status == 503).await;
    assert_eq!(readiness(&publisher).await.body["checks"]["database"], "away");
    assert_eq!(
        send(publisher.request(Method::GET, "/health")).await.status,
        200,
        "the liveness probe failed because the database is unreachable"
    );

    // Once the database is reachable again, a retry with the same ids stores the events exactly once.
    postgres.restart().await;
    let retry = json!([{ "type": "any.a", "data": 1, "id": ids[0] }, { "type": "any.a", "data": 2, "id": ids[1] }]);
    eventually("the retry succeeds", async || matches!(publisher.publish("p", &retry).await.status, 200 | 201)).await;
    assert_eq!(publisher.publish("p", &retry).await.status, 200);
    assert_eq!(publisher.events_of("p").await.len(), 4);
    eventually("the publisher is ready again", async || readiness(&publisher).await.status == 200).await;
}

#[tokio::test]
async fn without_its_broker_a_publisher_publishes_and_stays_ready() {
    let mut nats = Nats::start().await;
    let publisher = Publisher::start_with(|config| config.broker_url = SecretUrl::new(&nats.url())).await;
    let broker_check_says = async |state: &str| readiness(&publisher).await.body["checks"]["broker"] == *state;
    eventually("the broker is connected", async || broker_check_says("ok").await).await;

    // Without the broker, the publisher stays ready and publishes.
    nats.kill().await;
    eventually("readiness reports that the broker is unreachable", async || broker_check_says("away").await).await;
    let ready = readiness(&publisher).await;
    assert_eq!((ready.status, &ready.body["status"]), (200, &json!("ready")), "{ready:?}");
    for n in 1..=20 {
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        assert_eq!((stored.status, &stored.body["seq"]), (201, &json!(n)));
    }

    // Once the broker is reachable again, the publisher reconnects.
    nats.restart().await;
    eventually("the broker is connected again", async || broker_check_says("ok").await).await;
}

#[tokio::test]
async fn a_publisher_starts_without_its_broker() {
    let publisher = Publisher::start().await;
    assert_eq!(publisher.publish("p", &json!({ "type": "any.a" })).await.status, 201);
    let ready = readiness(&publisher).await;
    assert_eq!((ready.status, &ready.body["checks"]["broker"]), (200, &json!("away")));
}

#[tokio::test]
async fn a_publisher_that_is_told_to_stop_finishes_the_requests_in_flight() {
    let mut publisher = Publisher::start().await;

    // Send the first half of a body.
    let (sender, body) = mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    let body = futures::stream::unfold(body, |mut body| async move { body.recv().await.map(|piece| (piece, body)) });
    let request = publisher
        .publish_request("p")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(body));
    let response = tokio::spawn(send(request));
    sender.send(Ok(r#"{"type":"#)).await.unwrap();
    eventually("the request is in flight", async || has_request_in_flight(&publisher)).await;

    // Tell the publisher to stop. It refuses new connections.
    publisher.shutdown.cancel();
    eventually("new connections are refused", async || {
        publisher.request(Method::GET, "/health").timeout(Duration::from_secs(1)).send().await.is_err()
    })
    .await;

    // The second half of the body still arrives, and the request is answered.
    sender.send(Ok(r#""any.a"}"#)).await.unwrap();
    drop(sender);
    assert_eq!(response.await.unwrap().status, 201);
    let ended = timeout(STOP_TIMEOUT, &mut publisher.task).await.expect("the publisher did not stop");
    ended.expect("the publisher panicked").expect("the publisher failed");
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_timeout_is_cut_off() {
    let mut publisher =
        Publisher::start_with(|config| config.connection_limits.drain = Duration::from_millis(100)).await;
    let body = reqwest::Body::wrap_stream(futures::stream::pending::<Result<&'static str, std::io::Error>>());
    let request = publisher.publish_request("p").header("content-type", "application/json").body(body);
    let endless = tokio::spawn(request.send());
    eventually("the request is in flight", async || has_request_in_flight(&publisher)).await;
    publisher.shutdown.cancel();
    let ended = timeout(STOP_TIMEOUT, &mut publisher.task).await.expect("the publisher did not stop");
    ended.expect("the publisher panicked").expect("the publisher failed");
    endless.abort();
}

#[tokio::test]
async fn a_publisher_with_a_malformed_token_file_does_not_start() {
    let mut publisher = Publisher::start_with(|config| {
        std::fs::write(&config.token_file, r#"{"tokens":[{"name":"a"}]}"#).unwrap();
    })
    .await;
    let ended = timeout(STOP_TIMEOUT, &mut publisher.task).await.expect("the publisher did not stop");
    let error = error_chain(&ended.expect("the publisher panicked").expect_err("the token file was accepted"));
    assert!(error.contains("tokens.json") && error.contains("missing field `sha256`"), "{error}");
}

/// After a failover the positions of a stream may be those of other events, so that it must not go on.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_database_was_replaced_and_publishing_waits_for_an_operator() {
    let mut postgres = Postgres::own_cluster().await;
    let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
    let event = json!({ "type": "any.a" });
    assert_eq!(publisher.publish("p", &event).await.status, 201);
    postgres.leave_standby_behind().await;
    eventually("publishing works after the restart", async || publisher.publish("p", &event).await.status == 201).await;
    let mut stream = publisher.stream("/v1/plans/p/events/stream?after=0", "acme", None).await;
    assert!(stream.next().await.is_some());
    postgres.fail_over().await;

    let refused = publisher.publish("p", &event).await;
    let problem = refused.assert_problem("ledger_failover");
    assert_eq!((refused.status, problem["ids"].as_array().map(Vec::len)), (503, Some(1)));
    while stream.next().await.is_some() {}
    assert_eq!(publisher.get("/v1/plans/p/events", "acme").await.status, 200);
}
