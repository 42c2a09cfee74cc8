//! Calls that wait until their events are sealed.

use std::time::Duration;

use axum::http::Method;
use sealbus_testkit::{Postgres, eventually};
use serde_json::{Value, json};

use crate::tests::support::{Answer, Publisher, answer, ledger_in, proven};

/// Longer than anything takes in health.
const LONG: Duration = Duration::from_mins(1);

fn thing(data: u32) -> Value {
    json!({ "type": "any.thing", "data": data })
}

/// A publisher whose calls wait as long as it takes.
async fn patient() -> Publisher {
    Publisher::on(ledger_in(&Postgres::start().await).await, |config| config.max_sealed_wait = LONG).await
}

async fn post(publisher: &Publisher, query: &str, body: &Value) -> Answer {
    answer(publisher.call(Method::POST, &format!("/v1/plans/p/events?{query}"), "acme").json(body)).await
}

/// Makes the call, and anchors once its events are stored.
async fn anchored(publisher: &Publisher, events: u64, call: impl Future<Output = Answer>) -> Answer {
    let anchoring = async {
        eventually("the events are stored", async || publisher.ledger.log().backlog().await.unwrap().0 >= events).await;
        publisher.anchor().await;
    };
    tokio::join!(call, anchoring).0
}

/// The receipt of an event of an answer, which proves it at the event's own log index.
#[track_caller]
fn is_proven(event: &Value) {
    assert_eq!(event["sealed"], true, "{event}");
    assert_eq!(proven(event["receipt"].to_string().as_bytes()), event["log_index"].as_u64().unwrap());
    assert_eq!(event["receipt"]["event_hash"], event["seal"]["hash"]);
}

#[tokio::test]
async fn an_event_is_answered_with_the_proof_that_it_is_sealed() {
    let publisher = patient().await;
    // The plan of keys has an event of its own.
    let stored = anchored(&publisher, 2, post(&publisher, "wait=sealed", &thing(1))).await;
    assert_eq!((stored.status, stored.header("sealbus-sealed"), stored.header("etag")), (201, "true", "\"1\""));
    is_proven(&stored.body);
    assert_eq!(stored.body["data"], 1, "the event itself is there as ever");
    let again = json!({ "type": "any.thing", "data": 1, "id": stored.body["id"] });
    let again = post(&publisher, "wait=sealed", &again).await;
    assert_eq!((again.status, &again.body), (200, &stored.body), "what is sealed already is not waited for");
    assert!(publisher.get(stored.header("location"), "acme").await.body.get("receipt").is_none());
}

#[tokio::test]
async fn every_event_of_an_array_and_of_a_batch_has_its_receipt() {
    let publisher = patient().await;
    let array: Vec<_> = (0..300).map(thing).collect();
    let stored = anchored(&publisher, 301, post(&publisher, "wait=sealed", &json!(array))).await;
    assert_eq!((stored.status, stored.header("sealbus-sealed"), stored.header("etag")), (201, "true", "\"300\""));
    let events = stored.body["events"].as_array().unwrap();
    assert_eq!(events.len(), 300);
    events.iter().for_each(is_proven);

    let event = |plan: &str, kind: &str| json!({ "specversion": "1.0", "type": kind, "source": "/s", "subject": plan, "id": plan, "data": 1 });
    let batch = json!([event("a", "any.a"), event("b", "any.b"), event("c", "nobody.knows"), event("d", "any.d")]);
    let call = publisher.call(Method::POST, "/v1/events?wait=sealed", "acme");
    let call = call.header("content-type", "application/cloudevents-batch+json").body(batch.to_string());
    let answered = anchored(&publisher, 3, answer(call)).await;
    assert_eq!((answered.status, answered.header("sealbus-sealed")), (207, "true"));
    for at in [0, 1, 3] {
        is_proven(&answered.body["results"][at]["event"]);
    }
    assert_eq!(answered.body["results"][2]["status"], 422);
}

#[tokio::test]
async fn a_cloudevent_bears_its_receipt_as_a_text() {
    let publisher = patient().await;
    let event =
        json!({ "specversion": "1.0", "type": "any.a", "source": "/s", "subject": "p", "id": "A-1", "data": 1 });
    let call = publisher.call(Method::POST, "/v1/events?wait=sealed", "acme");
    let call = call.header("content-type", "application/cloudevents+json");
    let call = call.header("accept", "application/cloudevents+json").body(event.to_string());
    let stored = anchored(&publisher, 2, answer(call)).await;
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "true"));
    assert_eq!(stored.body["sealbussealed"], true);
    assert_eq!(proven(stored.body["sealbusreceipt"].as_str().unwrap().as_bytes()), 1);
}

#[tokio::test]
async fn when_time_runs_out_the_answer_is_the_stored_one() {
    let publisher = Publisher::start().await;
    let stored = post(&publisher, "wait=sealed&timeout=1ms", &json!([thing(1), thing(2)])).await;
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "false"));
    for event in stored.body["events"].as_array().unwrap() {
        assert_eq!(event["sealed"], false);
        assert_eq!((&event["log_index"], &event["receipt"]["log_index"]), (&Value::Null, &Value::Null));
        assert_eq!(event["receipt"].get("proof"), Some(&Value::Null), "{event}");
        assert_eq!(event["receipt"]["event_hash"], event["seal"]["hash"]);
    }
    publisher.seal().await;
    let leaves_only = post(&publisher, "wait=sealed&timeout=1ms", &thing(3)).await;
    assert_eq!(leaves_only.header("sealbus-sealed"), "false", "a leaf that no shown checkpoint covers is not sealed");
    assert_eq!(publisher.trail("p").await.len(), 3, "all of it is stored");
}

#[tokio::test]
async fn faulty_waits_are_refused_before_anything_is_written() {
    let publisher = Publisher::on(ledger_in(&Postgres::start().await).await, |config| {
        config.max_sealed_wait = Duration::from_secs(10);
    })
    .await;
    for (query, name, rule) in [
        ("wait=stored", "wait", "enum"),
        ("wait=", "wait", "enum"),
        ("wait=sealed&wait=sealed", "wait", "unique"),
        ("wait=sealed&timeout=soon", "timeout", "format"),
        ("wait=sealed&timeout=5", "timeout", "format"),
        ("wait=sealed&timeout=-5s", "timeout", "format"),
        ("wait=sealed&timeout=11s", "timeout", "maximum"),
        ("timeout=5s", "timeout", "dependency"),
        ("wiat=sealed", "wiat", "unknown"),
    ] {
        post(&publisher, query, &thing(1)).await.is_field_problem("invalid_field", name, rule);
        let event = json!({ "specversion": "1.0", "type": "any.a", "source": "/s", "subject": "p", "id": "A-1" });
        let call = publisher.call(Method::POST, &format!("/v1/events?{query}"), "acme");
        let call = call.header("content-type", "application/cloudevents+json").body(event.to_string());
        answer(call).await.is_field_problem("invalid_field", name, rule);
    }
    assert!(publisher.trail("p").await.is_empty());
}

#[tokio::test]
async fn a_publisher_that_is_told_to_stop_answers_those_who_wait() {
    let publisher = patient().await;
    let stopping = async {
        eventually("the event is stored", async || publisher.ledger.log().backlog().await.unwrap().0 == 2).await;
        publisher.shutdown.cancel();
    };
    let event = thing(1);
    let (stored, ()) = tokio::join!(post(&publisher, "wait=sealed", &event), stopping);
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "false"));
}

#[tokio::test]
async fn what_waits_is_bounded_and_the_rest_is_answered_at_once() {
    let publisher = Publisher::on(ledger_in(&Postgres::start().await).await, |config| {
        config.max_sealed_wait = LONG;
        // Room for about three events of a kilobyte and what comes with them.
        config.max_body_bytes_in_flight = 8 * 1_024;
    })
    .await;
    let array = json!((0..100).map(thing).collect::<Vec<_>>());
    let stored = post(&publisher, "wait=sealed", &array).await;
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "false"));
    let one = anchored(&publisher, 102, post(&publisher, "wait=sealed", &thing(1))).await;
    assert_eq!(one.header("sealbus-sealed"), "true", "the room came free again");
}

#[tokio::test]
async fn many_callers_are_woken_by_one_checkpoint() {
    let publisher = patient().await;
    let calls = (0..50).map(async |n| {
        let path = format!("/v1/plans/plan-{n}/events?wait=sealed");
        answer(publisher.call(Method::POST, &path, "acme").json(&thing(n))).await
    });
    let anchoring = async {
        eventually("all are stored", async || publisher.ledger.log().backlog().await.unwrap().0 == 51).await;
        publisher.anchor().await;
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(calls), anchoring);
    for answer in answers {
        is_proven(&answer.body);
    }
}
