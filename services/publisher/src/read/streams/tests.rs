//! Streams over real HTTP: from now, from a place, through a break, and beside others.

use std::time::Duration;

use axum::http::Method;
use sealbus_testkit::{Postgres, eventually};
use serde_json::{Value, json};

use crate::tests::support::{Events, Publisher, answer, ledger_in};

const PLAN: &str = "/v1/plans/p/events/stream";
const LOG: &str = "/v1/events/stream";

async fn publish(publisher: &Publisher, count: usize) {
    let events: Vec<Value> = (0..count).map(|n| json!({ "type": "any.a", "data": n })).collect();
    assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
}

#[tokio::test]
async fn a_plan_is_followed_from_now_on() {
    let publisher = Publisher::start().await;
    publish(&publisher, 3).await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    publish(&publisher, 2).await;
    let (id, event) = stream.next().await.expect("an event");
    assert_eq!((id, &event["seq"]), (4, &json!(4)));
    assert_eq!(event, publisher.trail("p").await[3], "an event is shown as everywhere");
    assert_eq!(stream.ids(1).await, [5]);
}

#[tokio::test]
async fn a_plan_that_has_no_event_yet_is_followed() {
    let publisher = Publisher::start().await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    publish(&publisher, 1).await;
    assert_eq!(stream.ids(1).await, [1]);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_stopped() {
    let publisher = Publisher::start().await;
    publish(&publisher, 5).await;
    let mut stream = publisher.stream(PLAN, "acme", Some(0)).await;
    assert_eq!(stream.ids(3).await, [1, 2, 3]);
    drop(stream);
    publish(&publisher, 5).await;
    let mut resumed = publisher.stream(PLAN, "acme", Some(3)).await;
    assert_eq!(resumed.ids(7).await, [4, 5, 6, 7, 8, 9, 10]);
    let mut asked = publisher.stream(&format!("{PLAN}?after=8"), "acme", None).await;
    assert_eq!(asked.ids(2).await, [9, 10]);
    let mut both = publisher.stream(&format!("{PLAN}?after=1"), "acme", Some(9)).await;
    assert_eq!(both.ids(1).await, [10], "a client that reconnects sends both");
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_event_goes_on_from_where_it_began() {
    let publisher = Publisher::start().await;
    publish(&publisher, 3).await;
    let broken = publisher.stream(PLAN, "acme", None).await;
    assert_eq!(broken.behind, Some(3));
    publish(&publisher, 2).await;
    let mut again = publisher.stream(PLAN, "acme", broken.behind).await;
    assert_eq!(again.ids(2).await, [4, 5]);
}

#[tokio::test]
async fn history_longer_than_the_window_comes_whole_and_in_order() {
    let publisher = Publisher::start().await;
    let mut early = publisher.stream(PLAN, "acme", None).await;
    for _ in 0..3 {
        publish(&publisher, 700).await;
    }
    let mut late = publisher.stream(PLAN, "acme", Some(0)).await;
    publish(&publisher, 100).await;
    let all: Vec<u64> = (1..=2_200).collect();
    assert_eq!(early.ids(all.len()).await, all);
    assert_eq!(late.ids(all.len()).await, all);
}

#[tokio::test]
async fn a_stream_sees_what_other_replicas_append() {
    let ledger = ledger_in(&Postgres::start().await).await;
    let (one, two) = (Publisher::on(ledger.clone(), |_| {}).await, Publisher::on(ledger, |_| {}).await);
    let mut stream = one.stream(PLAN, "acme", None).await;
    for expected in 1..=20_u64 {
        publish(if expected % 2 == 0 { &one } else { &two }, 1).await;
        assert_eq!(stream.ids(1).await, [expected]);
    }
}

#[tokio::test]
async fn the_log_is_followed_in_its_own_order_and_only_once_sealed() {
    let publisher = Publisher::start().await;
    publisher.seal().await;
    let mut now = publisher.stream(LOG, "acme", None).await;
    publish(&publisher, 3).await;
    let block = now.block().await.expect("a sign of life");
    assert_eq!(block, ": still here", "what has no place in the log yet is not shown");
    publisher.seal().await;
    let (id, event) = now.next().await.expect("an event");
    assert_eq!((id, &event["log_index"], &event["seq"]), (1, &json!(1), &json!(1)));
    let mut resumed = publisher.stream(LOG, "operator", Some(2)).await;
    assert_eq!(resumed.ids(1).await, [3]);
    let mut whole = publisher.stream(&format!("{LOG}?after=0"), "operator", None).await;
    assert_eq!(whole.ids(3).await, [1, 2, 3]);
}

#[tokio::test]
async fn the_log_shows_a_stream_its_tenants_only() {
    let publisher = Publisher::start().await;
    let mut acme = publisher.stream(LOG, "acme", None).await;
    let mut auditor = publisher.stream(LOG, "auditor", Some(0)).await;
    let mut others = publisher.stream(LOG, "other", Some(0)).await;
    for n in 0..200 {
        let token = if n % 50 == 49 { "acme" } else { "other" };
        let call = publisher.call(Method::POST, "/v1/plans/p/events", token).json(&json!({ "type": "any.a" }));
        assert_eq!(answer(call).await.status, 201);
    }
    publisher.seal().await;
    assert_eq!(acme.ids(4).await, [50, 100, 150, 200]);
    assert_eq!(auditor.ids(200).await, (1..=200).collect::<Vec<_>>());
    let expected: Vec<u64> = (1..=200).filter(|index| index % 50 != 0).collect();
    assert_eq!(others.ids(expected.len()).await, expected);
    let mut from_the_past = publisher.stream(LOG, "acme", Some(0)).await;
    assert_eq!(from_the_past.ids(4).await, [50, 100, 150, 200]);
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let publisher = Publisher::start().await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    for _ in 0..3 {
        assert_eq!(stream.block().await.as_deref(), Some(": still here"));
    }
}

#[tokio::test]
async fn streams_end_when_the_publisher_stops() {
    let publisher = Publisher::start().await;
    let mut streams = [publisher.stream(PLAN, "acme", None).await, publisher.stream(LOG, "acme", None).await];
    publisher.shutdown.cancel();
    for stream in &mut streams {
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let publisher = Publisher::on(ledger_in(&Postgres::start().await).await, |config| config.max_streams = 2).await;
    let one = publisher.stream(PLAN, "acme", None).await;
    let _two: Events = publisher.stream(LOG, "acme", None).await;
    let refused = publisher.get(PLAN, "acme").await;
    assert_eq!(refused.header("retry-after"), "1");
    refused.is_problem("overloaded");
    assert!(publisher.numbers().contains("sealbus_publisher_streams 2"));
    drop(one);
    eventually("a closed stream leaves its place to another", async || {
        publisher.call(Method::GET, PLAN, "acme").send().await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_stream_outlives_a_database_that_is_away() {
    let mut postgres = Postgres::own_cluster().await;
    let publisher = Publisher::on(ledger_in(&postgres).await, |_| {}).await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    publish(&publisher, 1).await;
    assert_eq!(stream.ids(1).await, [1]);
    postgres.kill().await;
    assert_eq!(stream.block().await.as_deref(), Some(": still here"));
    postgres.restart().await;
    eventually("the ledger takes events again", async || {
        publisher.publish("p", &json!({ "type": "any.a" })).await.status == 201
    })
    .await;
    assert_eq!(stream.ids(1).await, [2]);
}

#[tokio::test]
async fn a_faulty_place_is_refused() {
    let publisher = Publisher::start().await;
    publisher.get(&format!("{PLAN}?after=x"), "acme").await.is_field_problem("invalid_field", "after", "type");
    publisher.get(&format!("{PLAN}?from=1"), "acme").await.is_field_problem("invalid_field", "from", "unknown");
    let call = publisher.call(Method::GET, LOG, "acme").header("last-event-id", "x").timeout(Duration::from_mins(1));
    answer(call).await.is_field_problem("invalid_field", "Last-Event-ID", "type");
}
