//! Publish requests with `wait=sealed`.

use std::time::Duration;

use axum::http::Method;
use futures::future::join_all;
use sealbus_runtime::memory::Budget;
use sealbus_testkit::eventually;
use serde_json::{Value, json};

use crate::tests::support::{Publisher, TestResponse, assert_proven, send};

fn event(data: u32) -> Value {
    json!({ "type": "any.thing", "data": data })
}

/// Starts a publisher on which requests may wait for a minute.
async fn start() -> Publisher {
    Publisher::start_with(|config| config.max_sealed_wait = Duration::from_mins(1)).await
}

async fn publish(publisher: &Publisher, query: &str, body: &Value) -> TestResponse {
    send(publisher.request_as(Method::POST, &format!("/v1/plans/p/events?{query}"), "acme").json(body)).await
}

/// Waits until the ledger has this many events that are not sealed, and then seals and anchors them.
async fn anchor_when_stored(publisher: &Publisher, events: u64) {
    eventually("the events are stored", async || publisher.ledger.log().count_unsealed().await.unwrap() >= events)
        .await;
    publisher.anchor().await;
}

/// Asserts that an event in a response has a receipt that proves it at its own log index.
#[track_caller]
fn assert_event_proven(event: &Value) {
    assert_eq!(event["sealed"], true, "{event}");
    assert_eq!(assert_proven(event["receipt"].to_string().as_bytes()), event["log_index"].as_u64().unwrap());
    assert_eq!(event["receipt"]["event_hash"], event["seal"]["hash"]);
}

#[tokio::test]
async fn a_request_that_waits_gets_the_event_and_its_proof() {
    let publisher = start().await;

    // Publish, and anchor while the request waits. The plan of signing keys has an event too.
    let event = event(1);
    let waiting = publish(&publisher, "wait=sealed", &event);
    let (stored, ()) = tokio::join!(waiting, anchor_when_stored(&publisher, 2));
    assert_eq!((stored.status, stored.header("sealbus-sealed"), stored.header("etag")), (201, "true", "\"1\""));
    assert_event_proven(&stored.body);
    assert_eq!(stored.body["data"], 1, "the response lacks the event itself");

    // A repeated request finds the event sealed already, and gets the same response at once.
    let repeated = json!({ "type": "any.thing", "data": 1, "id": stored.body["id"] });
    let repeated = publish(&publisher, "wait=sealed", &repeated).await;
    assert_eq!((repeated.status, &repeated.body), (200, &stored.body));
    assert!(publisher.get(stored.header("location"), "acme").await.body.get("receipt").is_none());
}

#[tokio::test]
async fn every_event_of_an_array_and_of_a_batch_gets_its_receipt() {
    let publisher = start().await;

    // An array of 300 events.
    let array = json!((0..300).map(event).collect::<Vec<_>>());
    let waiting = publish(&publisher, "wait=sealed", &array);
    let (stored, ()) = tokio::join!(waiting, anchor_when_stored(&publisher, 301));
    assert_eq!((stored.status, stored.header("sealbus-sealed"), stored.header("etag")), (201, "true", "\"300\""));
    let events = stored.body["events"].as_array().unwrap();
    assert_eq!(events.len(), 300);
    events.iter().for_each(assert_event_proven);

    // A batch of four CloudEvents, one of which is refused.
    let cloudevent = |plan: &str, event_type: &str| json!({ "specversion": "1.0", "type": event_type, "source": "/s", "subject": plan, "id": plan, "data": 1 });
    let batch = json!([
        cloudevent("a", "any.a"),
        cloudevent("b", "any.b"),
        cloudevent("c", "nobody.knows"),
        cloudevent("d", "any.d")
    ]);
    let request = publisher.request_as(Method::POST, "/v1/events?wait=sealed", "acme");
    let request = request.header("content-type", "application/cloudevents-batch+json").body(batch.to_string());
    let (response, ()) = tokio::join!(send(request), anchor_when_stored(&publisher, 3));
    assert_eq!((response.status, response.header("sealbus-sealed")), (207, "true"));
    for index in [0, 1, 3] {
        assert_event_proven(&response.body["results"][index]["event"]);
    }
    assert_eq!(response.body["results"][2]["status"], 422);
}

#[tokio::test]
async fn a_cloudevent_contains_its_receipt_as_json_text() {
    let publisher = start().await;
    let event =
        json!({ "specversion": "1.0", "type": "any.a", "source": "/s", "subject": "p", "id": "A-1", "data": 1 });
    let request = publisher
        .request_as(Method::POST, "/v1/events?wait=sealed", "acme")
        .header("content-type", "application/cloudevents+json")
        .header("accept", "application/cloudevents+json")
        .body(event.to_string());
    let (stored, ()) = tokio::join!(send(request), anchor_when_stored(&publisher, 2));
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "true"));
    assert_eq!(stored.body["sealbussealed"], true);
    assert_eq!(assert_proven(stored.body["sealbusreceipt"].as_str().unwrap().as_bytes()), 1);

    // It is recognised when it is published again.
    let request = publisher.request_as(Method::POST, "/v1/events", "acme");
    let again =
        send(request.header("content-type", "application/cloudevents+json").body(stored.body.to_string())).await;
    assert_eq!((again.status, &again.body["seq"]), (200, &json!(1)), "{again:?}");
}

#[tokio::test]
async fn a_wait_that_times_out_returns_the_stored_events_without_proofs() {
    let publisher = Publisher::start().await;

    // Without a checkpoint, the events are stored and their receipts have no proof.
    let stored = publish(&publisher, "wait=sealed&timeout=1ms", &json!([event(1), event(2)])).await;
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "false"));
    for event in stored.body["events"].as_array().unwrap() {
        assert_eq!(event["sealed"], false);
        assert_eq!((&event["log_index"], &event["receipt"]["log_index"]), (&Value::Null, &Value::Null));
        assert_eq!(event["receipt"].get("proof"), Some(&Value::Null), "{event}");
        assert_eq!(event["receipt"]["event_hash"], event["seal"]["hash"]);
    }

    // The response is the same if the events have leaves that no checkpoint covers.
    publisher.seal().await;
    let stored = publish(&publisher, "wait=sealed&timeout=1ms", &event(3)).await;
    assert_eq!(
        stored.header("sealbus-sealed"),
        "false",
        "an event counts as sealed without a checkpoint that covers it"
    );
    assert_eq!(publisher.events_of("p").await.len(), 3);
}

#[tokio::test]
async fn an_invalid_wait_is_refused_before_anything_is_stored() {
    let publisher = Publisher::start_with(|config| config.max_sealed_wait = Duration::from_secs(10)).await;
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
        publish(&publisher, query, &event(1)).await.assert_field_problem("invalid_field", name, rule);
        let cloudevent = json!({ "specversion": "1.0", "type": "any.a", "source": "/s", "subject": "p", "id": "A-1" });
        let request = publisher
            .request_as(Method::POST, &format!("/v1/events?{query}"), "acme")
            .header("content-type", "application/cloudevents+json");
        send(request.body(cloudevent.to_string())).await.assert_field_problem("invalid_field", name, rule);
    }
    assert!(publisher.events_of("p").await.is_empty());
}

#[tokio::test]
async fn a_publisher_that_stops_answers_the_requests_that_wait() {
    let publisher = start().await;
    let stopping = async {
        eventually("the event is stored", async || publisher.ledger.log().count_unsealed().await.unwrap() == 2).await;
        publisher.shutdown.cancel();
    };
    let event = event(1);
    let (stored, ()) = tokio::join!(publish(&publisher, "wait=sealed", &event), stopping);
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "false"));
}

#[tokio::test]
async fn a_request_over_the_memory_budget_is_answered_without_waiting() {
    let publisher = Publisher::start_with(|config| {
        config.max_sealed_wait = Duration::from_mins(1);
        // A token takes half of it: enough for one record, whose overhead is four KiB, and not for two.
        config.memory.seal_waits = Budget::new("tests", 16 * 1_024);
    })
    .await;
    let array = json!((0..100).map(event).collect::<Vec<_>>());
    let stored = publish(&publisher, "wait=sealed", &array).await;
    assert_eq!((stored.status, stored.header("sealbus-sealed")), (201, "false"));

    // A request within the budget still waits.
    let event = event(1);
    let waiting = publish(&publisher, "wait=sealed", &event);
    let (stored, ()) = tokio::join!(waiting, anchor_when_stored(&publisher, 102));
    assert_eq!(stored.header("sealbus-sealed"), "true", "the budget was not released");
}

#[tokio::test]
async fn one_checkpoint_ends_the_wait_of_many_requests() {
    let publisher = start().await;
    let requests = (0..50).map(async |n| {
        let path = format!("/v1/plans/plan-{n}/events?wait=sealed");
        send(publisher.request_as(Method::POST, &path, "acme").json(&event(n))).await
    });
    let (responses, ()) = tokio::join!(join_all(requests), anchor_when_stored(&publisher, 51));
    for response in responses {
        assert_event_proven(&response.body);
    }
}
