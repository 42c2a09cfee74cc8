//! What a publisher does while its database or its broker is away, and when it is told to stop. Tests only.

use std::time::Duration;

use axum::http::Method;
use sealbus_broker::BrokerConfig;
use sealbus_testkit::{Nats, Postgres, eventually};
use serde_json::json;
use uuid::Uuid;

use crate::tests::support::{Answer, Publisher, answer, ledger_in};

async fn readiness(publisher: &Publisher) -> Answer {
    answer(publisher.bare(Method::GET, "/health/ready")).await
}

fn under_way(publisher: &Publisher) -> bool {
    publisher.numbers().contains("sealbus_publisher_bodies 1")
}

#[tokio::test]
async fn with_its_database_away_a_publisher_says_so_and_names_the_ids() {
    let mut postgres = Postgres::own_cluster().await;
    let publisher = Publisher::on(ledger_in(&postgres).await, |_| {}).await;
    let array = json!([{ "type": "any.a", "data": 1 }, { "type": "any.a", "data": 2 }]);
    assert_eq!(publisher.publish("p", &array).await.status, 201);
    postgres.kill().await;

    let refused = publisher.publish("p", &array).await;
    assert_eq!(refused.header("retry-after"), "1");
    let problem = refused.is_problem("ledger_unavailable");
    let ids: Vec<Uuid> = serde_json::from_value(problem["ids"].clone()).expect("the ids of the events");
    assert_eq!(ids.len(), 2);
    for path in ["/v1/plans/p/events", "/v1/plans/p/head", "/v1/events", "/v1/plans", "/v1/plans/p/events/stream"] {
        publisher.get(path, "acme").await.is_problem("ledger_unavailable");
    }
    eventually("readiness tells", async || readiness(&publisher).await.status == 503).await;
    assert_eq!(readiness(&publisher).await.body["checks"]["database"], "away");
    assert_eq!(
        answer(publisher.bare(Method::GET, "/health")).await.status,
        200,
        "a database that is away kills nobody"
    );

    postgres.restart().await;
    let asked = json!([{ "type": "any.a", "data": 1, "id": ids[0] }, { "type": "any.a", "data": 2, "id": ids[1] }]);
    eventually("asking again with the ids settles it", async || {
        matches!(publisher.publish("p", &asked).await.status, 200 | 201)
    })
    .await;
    assert_eq!(publisher.publish("p", &asked).await.status, 200);
    assert_eq!(publisher.trail("p").await.len(), 4);
    eventually("it is ready again", async || readiness(&publisher).await.status == 200).await;
}

#[tokio::test]
async fn with_its_broker_away_a_publisher_goes_on_and_tells() {
    let mut nats = Nats::start().await;
    let publisher = Publisher::on(ledger_in(&Postgres::start().await).await, |config| {
        config.broker = BrokerConfig::new(nats.url(), "publisher");
    })
    .await;
    let broker = async |word: &str| readiness(&publisher).await.body["checks"]["broker"] == *word;
    eventually("the broker is there", async || broker("ok").await).await;
    nats.kill().await;
    eventually("readiness tells", async || broker("away").await).await;
    let ready = readiness(&publisher).await;
    assert_eq!((ready.status, &ready.body["status"]), (200, &json!("ready")), "{ready:?}");
    for n in 1..=20 {
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        assert_eq!((stored.status, &stored.body["seq"]), (201, &json!(n)));
    }
    nats.restart().await;
    eventually("the broker is there again", async || broker("ok").await).await;
}

#[tokio::test]
async fn a_publisher_starts_without_its_broker() {
    let publisher = Publisher::start().await;
    assert_eq!(publisher.publish("p", &json!({ "type": "any.a" })).await.status, 201);
    let ready = readiness(&publisher).await;
    assert_eq!((ready.status, &ready.body["checks"]["broker"]), (200, &json!("away")));
}

#[tokio::test]
async fn calls_under_way_are_finished_and_then_it_ends() {
    let mut publisher = Publisher::start().await;
    let (sender, body) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    let body = futures::stream::unfold(body, |mut body| async move { body.recv().await.map(|piece| (piece, body)) });
    let call = publisher.posting("p").header("content-type", "application/json").body(reqwest::Body::wrap_stream(body));
    let answered = tokio::spawn(answer(call));
    sender.send(Ok(r#"{"type":"#)).await.unwrap();
    eventually("the call is under way", async || under_way(&publisher)).await;
    publisher.shutdown.cancel();
    eventually("nobody new is let in", async || {
        publisher.bare(Method::GET, "/health").timeout(Duration::from_secs(1)).send().await.is_err()
    })
    .await;
    sender.send(Ok(r#""any.a"}"#)).await.unwrap();
    drop(sender);
    assert_eq!(answered.await.unwrap().status, 201);
    let ended = tokio::time::timeout(Duration::from_mins(1), &mut publisher.served).await.expect("it ends");
    ended.expect("no panic").expect("it ends well");
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_off() {
    let mut publisher = Publisher::on(ledger_in(&Postgres::start().await).await, |config| {
        config.connection_timeouts.drain = Duration::from_millis(100);
    })
    .await;
    let body = reqwest::Body::wrap_stream(futures::stream::pending::<Result<&'static str, std::io::Error>>());
    let call = publisher.posting("p").header("content-type", "application/json").body(body);
    let stuck = tokio::spawn(call.send());
    eventually("the call is under way", async || under_way(&publisher)).await;
    publisher.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_mins(1), &mut publisher.served).await.expect("it ends");
    ended.expect("no panic").expect("it ends well");
    stuck.abort();
}

#[tokio::test]
async fn a_publisher_without_a_readable_token_file_does_not_start() {
    let mut publisher = Publisher::on(ledger_in(&Postgres::start().await).await, |config| {
        std::fs::write(&config.token_file, r#"{"tokens":[{"name":"a"}]}"#).unwrap();
    })
    .await;
    let ended =
        tokio::time::timeout(Duration::from_mins(1), &mut publisher.served).await.expect("it ends").expect("no panic");
    let refusal = sealbus_core::error_chain(&ended.expect_err("refused"));
    assert!(refusal.contains("tokens.json") && refusal.contains("missing field `sha256`"), "{refusal}");
}
