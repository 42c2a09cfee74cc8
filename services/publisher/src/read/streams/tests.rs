//! Streams over real HTTP: from now, from a position, after a reconnect, and with other replicas.

use std::time::Duration;

use axum::http::Method;
use sealbus_runtime::memory::Budget;
use sealbus_testkit::{Postgres, eventually};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Hub, Source};
use crate::tests::support::{EventStream, Publisher, create_ledger, send};

const PLAN: &str = "/v1/plans/p/events/stream";
const LOG: &str = "/v1/events/stream";
const HEARTBEAT: &str = ": still here";

async fn publish(publisher: &Publisher, count: usize) {
    let events: Vec<Value> = (0..count).map(|n| json!({ "type": "any.a", "data": n })).collect();
    assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
}

#[tokio::test]
async fn a_stream_without_a_position_starts_now() {
    let publisher = Publisher::start().await;
    publish(&publisher, 3).await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    publish(&publisher, 2).await;
    let (id, event) = stream.next().await.expect("the stream is open");
    assert_eq!((id, &event["seq"]), (4, &json!(4)));
    assert_eq!(event, publisher.events_of("p").await[3], "a stream shows an event in another form than a page");
    assert_eq!(stream.ids(1).await, [5]);
}

#[tokio::test]
async fn a_stream_of_a_plan_without_events_gets_the_first_one() {
    let publisher = Publisher::start().await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    publish(&publisher, 1).await;
    assert_eq!(stream.ids(1).await, [1]);
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_id() {
    let publisher = Publisher::start().await;
    publish(&publisher, 5).await;
    let mut stream = publisher.stream(PLAN, "acme", Some(0)).await;
    assert_eq!(stream.ids(3).await, [1, 2, 3]);
    drop(stream);
    publish(&publisher, 5).await;

    // Resume by header, by parameter, and by both.
    let mut by_header = publisher.stream(PLAN, "acme", Some(3)).await;
    assert_eq!(by_header.ids(7).await, [4, 5, 6, 7, 8, 9, 10]);
    let mut by_parameter = publisher.stream(&format!("{PLAN}?after=8"), "acme", None).await;
    assert_eq!(by_parameter.ids(2).await, [9, 10]);
    let mut by_both = publisher.stream(&format!("{PLAN}?after=1"), "acme", Some(9)).await;
    assert_eq!(by_both.ids(1).await, [10], "the header of a client that reconnects does not take precedence");
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_event_resumes_at_its_start() {
    let publisher = Publisher::start().await;
    publish(&publisher, 3).await;
    let broken = publisher.stream(PLAN, "acme", None).await;
    assert_eq!(broken.start_id, Some(3));
    publish(&publisher, 2).await;
    let mut resumed = publisher.stream(PLAN, "acme", broken.start_id).await;
    assert_eq!(resumed.ids(2).await, [4, 5]);
}

#[tokio::test]
async fn a_history_longer_than_the_window_arrives_complete_and_in_order() {
    let publisher = Publisher::start().await;
    let mut from_start = publisher.stream(PLAN, "acme", None).await;
    for _ in 0..3 {
        publish(&publisher, 700).await;
    }
    let mut from_history = publisher.stream(PLAN, "acme", Some(0)).await;
    publish(&publisher, 100).await;
    let all: Vec<u64> = (1..=2_200).collect();
    assert_eq!(from_start.ids(all.len()).await, all);
    assert_eq!(from_history.ids(all.len()).await, all);
}

#[tokio::test]
async fn a_stream_gets_the_events_that_other_replicas_append() {
    let ledger = create_ledger(&Postgres::start().await).await;
    let (one, two) = (Publisher::on(ledger.clone(), |_| {}).await, Publisher::on(ledger, |_| {}).await);
    let mut stream = one.stream(PLAN, "acme", None).await;
    for expected in 1..=20_u64 {
        publish(if expected % 2 == 0 { &one } else { &two }, 1).await;
        assert_eq!(stream.ids(1).await, [expected]);
    }
}

#[tokio::test]
async fn a_stream_of_the_log_gets_events_in_log_order_once_they_are_sealed() {
    let publisher = Publisher::start().await;
    publisher.seal().await;
    let mut stream = publisher.stream(LOG, "acme", None).await;

    // Events that are not sealed do not arrive.
    publish(&publisher, 3).await;
    let block = stream.next_block().await.expect("the stream is open");
    assert_eq!(block, HEARTBEAT, "an event without a log index was sent");

    // Sealed ones do.
    publisher.seal().await;
    let (id, event) = stream.next().await.expect("the stream is open");
    assert_eq!((id, &event["log_index"], &event["seq"]), (1, &json!(1), &json!(1)));

    // Other streams start at a position of the log.
    let mut resumed = publisher.stream(LOG, "operator", Some(2)).await;
    assert_eq!(resumed.ids(1).await, [3]);
    let mut whole = publisher.stream(&format!("{LOG}?after=0"), "operator", None).await;
    assert_eq!(whole.ids(3).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_stream_of_the_log_contains_only_the_tenants_of_its_token() {
    let publisher = Publisher::start().await;
    let mut acme = publisher.stream(LOG, "acme", None).await;
    let mut auditor = publisher.stream(LOG, "auditor", Some(0)).await;
    let mut other = publisher.stream(LOG, "other", Some(0)).await;

    // Every 50th event belongs to acme.
    for n in 0..200 {
        let token = if n % 50 == 49 { "acme" } else { "other" };
        let request = publisher.request_as(Method::POST, "/v1/plans/p/events", token);
        assert_eq!(send(request.json(&json!({ "type": "any.a" }))).await.status, 201);
    }
    publisher.seal().await;
    assert_eq!(acme.ids(4).await, [50, 100, 150, 200]);
    assert_eq!(auditor.ids(200).await, (1..=200).collect::<Vec<_>>());
    let expected: Vec<u64> = (1..=200).filter(|index| index % 50 != 0).collect();
    assert_eq!(other.ids(expected.len()).await, expected);

    // A stream from the beginning reads the same events from the ledger.
    let mut from_history = publisher.stream(LOG, "acme", Some(0)).await;
    assert_eq!(from_history.ids(4).await, [50, 100, 150, 200]);
}

#[tokio::test]
async fn a_stream_without_events_sends_heartbeats() {
    let publisher = Publisher::start().await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    for _ in 0..3 {
        assert_eq!(stream.next_block().await.as_deref(), Some(HEARTBEAT));
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
async fn a_stream_over_its_tokens_share_is_refused_until_another_one_closes() {
    let publisher = Publisher::start_with(|config| config.max_streams = 5).await;
    let first = publisher.stream(PLAN, "acme", None).await;
    let _second: EventStream = publisher.stream(LOG, "acme", None).await;
    let refused = publisher.get(PLAN, "acme").await;
    assert_eq!(refused.header("retry-after"), "1");
    refused.assert_problem("overloaded");
    // Another token still has a place.
    let _other: EventStream = publisher.stream(LOG, "other", None).await;
    assert!(publisher.metrics().contains("sealbus_publisher_streams 3"));
    drop(first);
    eventually("a stream can be opened in place of the closed one", async || {
        publisher.request_as(Method::GET, PLAN, "acme").send().await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_stream_survives_an_unreachable_database() {
    let mut postgres = Postgres::own_cluster().await;
    let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
    let mut stream = publisher.stream(PLAN, "acme", None).await;
    publish(&publisher, 1).await;
    assert_eq!(stream.ids(1).await, [1]);

    // Without the database, the stream sends heartbeats.
    postgres.kill().await;
    assert_eq!(stream.next_block().await.as_deref(), Some(HEARTBEAT));

    // Once the database is reachable again, the stream sends the next event.
    postgres.restart().await;
    eventually("publishing succeeds again", async || {
        publisher.publish("p", &json!({ "type": "any.a" })).await.status == 201
    })
    .await;
    assert_eq!(stream.ids(1).await, [2]);
}

#[tokio::test]
async fn a_position_beyond_the_head_is_refused() {
    let publisher = Publisher::start().await;
    publish(&publisher, 3).await;
    publisher.seal().await;
    for after in ["4", "9007199254740991"] {
        for path in [PLAN, LOG] {
            publisher.get(&format!("{path}?after={after}"), "acme").await.assert_problem("invalid_cursor");
            let request = publisher.request_as(Method::GET, path, "acme").header("last-event-id", after);
            send(request).await.assert_problem("invalid_cursor");
        }
    }
    // The position of the last event is valid.
    let mut plan = publisher.stream(PLAN, "acme", Some(3)).await;
    let mut log = publisher.stream(LOG, "acme", Some(3)).await;
    publish(&publisher, 1).await;
    publisher.seal().await;
    assert_eq!((plan.ids(1).await, log.ids(1).await), (vec![4], vec![4]));
}

#[tokio::test]
async fn an_invalid_position_is_refused() {
    let publisher = Publisher::start().await;
    publisher.get(&format!("{PLAN}?after=x"), "acme").await.assert_field_problem("invalid_field", "after", "type");
    publisher.get(&format!("{PLAN}?from=1"), "acme").await.assert_field_problem("invalid_field", "from", "unknown");
    let request = publisher.request_as(Method::GET, LOG, "acme").header("last-event-id", "x");
    send(request.timeout(Duration::from_mins(1))).await.assert_field_problem("invalid_field", "Last-Event-ID", "type");
}

#[tokio::test]
async fn a_damaged_event_does_not_stop_the_streams_of_the_log_and_of_other_plans() {
    let postgres = Postgres::start().await;
    let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
    let publish_to =
        async |plan: &str| publisher.publish(plan, &json!([{ "type": "any.a" }, { "type": "any.b" }])).await;
    let tamper = async |sql: String| postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
    // Leaf 0 is the signing key's. Damage leaf 2, of plan q, and delete leaf 3, of plan r.
    publish_to("q").await;
    publish_to("r").await;
    publisher.seal().await;
    let leaf = |index: u64| {
        format!("(plan_no, seq) = (SELECT plan_no, seq FROM sealbus.log_leaves WHERE leaf_index = {index})")
    };
    let mut from_start = publisher.stream(LOG, "auditor", Some(0)).await;
    assert_eq!(from_start.ids(1).await, [1]);
    tamper(format!("UPDATE sealbus.events SET recorded = 'infinity' WHERE {}", leaf(2))).await;
    tamper(format!("DELETE FROM sealbus.events WHERE {}", leaf(3))).await;

    // A stream that reads the ledger passes over both.
    let mut from_history = publisher.stream(LOG, "auditor", Some(0)).await;
    assert_eq!(from_history.ids(2).await, [1, 4]);
    let page = publisher.get("/v1/events?from_index=1&limit=100", "auditor").await.body;
    let indexes: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| event["log_index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [1, 4], "{page}");

    // Streams that follow the ledger go on: of the log, and of another plan beside the damaged one.
    let mut damaged = publisher.stream("/v1/plans/q/events/stream", "acme", Some(0)).await;
    let mut other = publisher.stream(PLAN, "acme", Some(0)).await;
    publish(&publisher, 2).await;
    tamper(format!("UPDATE sealbus.events SET recorded = '-infinity' WHERE {}", leaf(4))).await;
    publisher.seal().await;
    publish(&publisher, 1).await;
    publisher.seal().await;
    assert_eq!(other.ids(3).await, [1, 2, 3]);
    assert_eq!(from_history.ids(3).await, [5, 6, 7]);

    // The stream of the damaged plan ends before the damaged event.
    assert_eq!(damaged.ids(1).await, [1]);
    let ended = timeout(Duration::from_mins(1), damaged.next()).await.expect("the stream ends");
    assert_eq!(ended, None);
}

#[tokio::test]
async fn the_feed_of_the_log_passes_a_damaged_newest_event() {
    let postgres = Postgres::start().await;
    let publisher = Publisher::on(create_ledger(&postgres).await, |_| {}).await;
    publisher.seal().await;
    let hub = Hub::new(publisher.ledger.clone(), Budget::new("tests", 1 << 20));
    let (feed, next) = hub.follow(&Source::Log).await.unwrap();
    publish(&publisher, 1).await;
    publisher.seal().await;
    let damage =
        "SET session_replication_role = replica; UPDATE sealbus.events SET recorded = 'infinity' WHERE plan_no =
        (SELECT plan_no FROM sealbus.plans WHERE plan = 'p')";
    postgres.admin(damage).await;
    hub.poll().await.unwrap();
    assert_eq!(feed.next(), next + 1);
}
