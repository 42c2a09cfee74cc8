//! Member names that `serde_json` uses for itself are names like any other, wherever an event is read or shown.

use axum::http::Method;
use serde_json::{Value, json};

use crate::tests::support::{Publisher, send};

/// Accepts one event and pages as CloudEvents.
const CLOUDEVENTS: &str = "application/cloudevents+json, application/cloudevents-batch+json";

/// Objects whose only or first member has such a name, or whose inner object has one.
fn objects() -> Vec<Value> {
    let names = ["$serde_json::private::RawValue", "$serde_json::private::Number"];
    let objects = names.map(|name| {
        [
            json!({ name: "1" }),
            json!({ name: 1 }),
            json!({ name: "{}", "z": [null] }),
            json!({ "a": { name: "not JSON" } }),
            json!([{ name: { name: "\"x\"" } }]),
        ]
    });
    objects.into_iter().flatten().collect()
}

#[tokio::test]
async fn data_and_metadata_are_shown_as_they_were_published() {
    let publisher = Publisher::start().await;
    for object in objects() {
        let metadata = json!({ "$serde_json::private::RawValue": object, "reason": object });
        let event = json!({ "type": "any.a", "data": object, "metadata": metadata });
        let stored = publisher.publish("p", &event).await;
        assert_eq!((stored.status, &stored.body["data"]), (201, &object), "{stored:?}");
    }
    publisher.seal().await;
    let cloudevents = async |path: &str| {
        let request = publisher.request_as(Method::GET, path, "acme").header("accept", CLOUDEVENTS);
        send(request).await.body
    };
    let page = publisher.events_of("p").await;
    let batch = cloudevents("/v1/plans/p/events").await;
    let log = publisher.get("/v1/events", "acme").await.body["events"].clone();
    let mut stream = publisher.stream("/v1/plans/p/events/stream", "acme", Some(0)).await;
    for (index, object) in objects().iter().enumerate() {
        let event = &page[index];
        assert_eq!((&event["data"], &event["metadata"]["reason"]), (object, object));
        assert_eq!(&event["metadata"]["$serde_json::private::RawValue"], object);
        assert_eq!(&log[index]["data"], object);
        assert_eq!(&batch[index]["data"], object);
        assert_eq!(&stream.next().await.unwrap().1["data"], object);
        let path = format!("/v1/events/{}", event["id"].as_str().unwrap());
        assert_eq!(&cloudevents(&path).await["data"], object);
        assert_eq!(&publisher.get(&format!("{path}/data"), "acme").await.body, object);
    }
    let verified = publisher.get("/v1/plans/p/verification", "acme").await;
    assert_eq!(verified.body["verdict"], "ok");
}

#[tokio::test]
async fn encrypted_data_and_metadata_are_opened_as_they_were_published() {
    let publisher = Publisher::start().await;
    for object in objects() {
        let metadata = json!({ "$serde_json::private::RawValue": object, "reason": object });
        let event = json!({ "type": "private.note", "data": { "who": "Ada", "x": object }, "metadata": metadata });
        let stored = publisher.publish("p", &event).await;
        assert_eq!(stored.status, 201, "{stored:?}");
        let opened = publisher.get(stored.header("location"), "opener").await.body;
        assert_eq!((&opened["data"]["x"], &opened["metadata"]["reason"]), (&object, &object));
        assert_eq!(opened["metadata"]["$serde_json::private::RawValue"], object);
        assert_eq!(stored.body["metadata"]["reason"], object, "a clear member");
    }
}

#[tokio::test]
async fn cloudevents_are_stored_as_they_were_published() {
    let publisher = Publisher::start().await;
    let event = |object: &Value| json!({ "specversion": "1.0", "type": "any.a", "subject": "p", "source": "s", "data": object });
    let batch: Vec<Value> = objects().iter().map(event).collect();
    let request = publisher.request_as(Method::POST, "/v1/events", "acme");
    let request = request.header("content-type", "application/cloudevents-batch+json");
    assert_eq!(send(request.body(json!(batch).to_string())).await.status, 201);
    let stored: Vec<Value> = publisher.events_of("p").await.into_iter().map(|event| event["data"].clone()).collect();
    assert_eq!(stored, objects());
}
