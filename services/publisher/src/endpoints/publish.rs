//! `POST /v1/plans/{plan}/events`: publishing to one plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::canonical::Text;
use sealbus_core::cloudevents;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::request::read_body;
use sealbus_runtime::memory::Reservation;
use serde_json::Value;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{EventFormat, JSON, Parameters, PlanPath, Problem, ReceivedBody, held, held_json, single_header};
use crate::publish::{Conditions, Published, Receipt};

/// `POST /v1/plans/{plan}/events` stores one event, or an array of events, all or none. It returns 201 with the stored
/// records, or 200 if all of them were stored before. `Location` names the first event, `ETag` the seq of the last one. With
/// `wait=sealed` the response also contains receipts, and the header `Sealbus-Sealed`.
///
/// It needs the scope `publish`. Errors: those of an invalid body or event, of `If-Match`, `If-None-Match` and
/// `Idempotency-Key`, `not_acceptable`, `overloaded`, and `ledger_unavailable` with the ids of the events if the outcome is unknown.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: PlanPath,
    headers: HeaderMap,
    parameters: Parameters,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::Publish)?;
    let wait = app.seal_waiting.read(parameters)?;
    let plan = path.publishable()?;
    let tenant = caller.tenant_to_publish(None)?;
    let conditions = Conditions::read(&headers)?;
    check_media_type(&headers)?;
    let ReceivedBody { bytes, mut memory, in_flight: _in_flight } =
        app.bodies.read(&caller.token.name, &headers, body).await?;
    let (requests, is_array) = read_body(&bytes, &app.publishing.limits)?;
    // The answer to an array has one form, so that `Accept` is not read.
    let format = if is_array { EventFormat::Native } else { EventFormat::of_event(&headers)? };
    let events = requests.len();
    let publication = |(index, request)| conditions.publication(is_array.then_some((index, events)), request);
    let publications: Vec<_> = requests.into_iter().enumerate().map(publication).collect();
    let mut published = app.publishing.publish(&caller, tenant, plan.clone(), conditions.expect, publications).await?;
    // A waiting request holds only its records in memory.
    drop(bytes);
    if let Some(wait) = wait {
        memory = app.seal_waiting.wait(&caller.token, wait, memory, &mut published).await;
    }
    if !is_array {
        return Ok(single_response(&published[0], wait, format, memory));
    }
    let seqs = published.iter().map(|event| event.stored.header.seq);
    let location = format!("/v1/plans/{plan}/events?from_seq={}", published[0].stored.header.seq);
    let etag = format!("\"{}\"", seqs.max().unwrap_or_default());
    let headers = [(header::LOCATION, location), (header::ETAG, etag)];
    // Unlike `json!`, a map does not parse the stored texts into trees.
    let body = held_json(JSON, &BTreeMap::from([("events", &published)]), memory);
    Ok((status(&published), headers, sealed_header(wait, &published), body).into_response())
}

/// Returns the response to a single event: the event, with its receipt if the request waited, its path as `Location` and its
/// seq as `ETag`.
pub(super) fn single_response(
    published: &Published,
    wait: Option<Duration>,
    format: EventFormat,
    memory: Reservation,
) -> Response {
    let event = &published.stored.header;
    let location = format!("/v1/events/{}", event.event_id);
    let headers = [(header::LOCATION, location), (header::ETAG, format!("\"{}\"", event.seq))];
    let body = match format {
        EventFormat::Native => held_json(JSON, published, memory),
        EventFormat::CloudEvents => {
            // The receipt becomes two extension attributes, of which one is JSON text.
            let receipt = published.receipt.iter().flat_map(|Receipt { sealed, receipt }| {
                let sealed = Text::from(&Value::from(*sealed));
                [(cloudevents::SEALED, sealed), (cloudevents::RECEIPT, Text::string(receipt.get()))]
            });
            let body = cloudevents::to_structured(&published.view, &receipt.collect::<Vec<_>>());
            held(cloudevents::STRUCTURED, body.into_string().into_bytes(), memory)
        }
    };
    let published = std::slice::from_ref(published);
    (status(published), headers, sealed_header(wait, published), body).into_response()
}

/// Returns the header that tells whether all events of a request with `wait=sealed` are sealed.
pub(super) fn sealed_header(
    wait: Option<Duration>,
    published: &[Published],
) -> Option<[(&'static str, &'static str); 1]> {
    wait.map(|_| {
        let sealed = published.iter().all(|event| event.receipt.as_ref().is_some_and(|receipt| receipt.sealed));
        [("sealbus-sealed", if sealed { "true" } else { "false" })]
    })
}

/// Returns 201 if the request stored an event, 200 if all events were stored before.
fn status(published: &[Published]) -> StatusCode {
    if published.iter().any(|event| event.new) { StatusCode::CREATED } else { StatusCode::OK }
}

/// Accepts JSON, and requests without a media type.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refused> {
    match single_header(headers, header::CONTENT_TYPE.as_str())? {
        Some(media_type) if !cloudevents::is_json(&media_type) || media_type.starts_with("application/cloudevents") => {
            let detail = "this path accepts application/json; publish CloudEvents to /v1/events";
            Err(Refused::new(ErrorKind::UnsupportedMediaType, detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::support::{Publisher, send};

    const ID: &str = "0197f2a1-0000-7000-8000-000000000001";

    fn event_with(data: &Value) -> Value {
        json!({ "type": "any.thing", "data": data })
    }

    #[tokio::test]
    async fn a_stored_event_is_returned_with_its_record() {
        let publisher = Publisher::start().await;
        let event = json!({
            "type": "order.placed", "data": { "amount": "10.00" }, "id": ID, "source": "urn:acme:shop", "version": 1,
            "occurred_at": "2026-11-20T10:00:00Z", "correlation_id": "c-1", "causation_id": "d-1", "priority": "high",
            "metadata": { "reason": "r" },
        });
        let stored = publisher.publish("order-42", &event).await;
        assert_eq!(stored.status, 201, "{stored:?}");
        assert_eq!((stored.header("etag"), stored.header("location")), ("\"1\"", &*format!("/v1/events/{ID}")));
        let expected = json!({
            "id": ID, "tenant": "acme", "plan": "order-42", "seq": 1, "type": "order.placed", "version": 1,
            "source": "urn:acme:shop", "actor": "acme", "occurred_at": "2026-11-20T10:00:00.000000Z",
            "correlation_id": "c-1", "causation_id": "d-1", "priority": "high", "data": { "amount": "10.00" },
            "metadata": { "reason": "r", "sealbus": { "auth": "token", "priority": "high" } }, "log_index": null,
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&stored.body[name], value, "{name}");
        }
        let seal = &stored.body["seal"];
        assert_eq!(
            (&seal["scheme"], &seal["suite"], &seal["payload_mode"], &seal["payload_size"]),
            (&json!("v2"), &json!(2), &json!("plain"), &json!(18))
        );
        let read = publisher.get(stored.header("location"), "acme").await;
        assert_eq!((read.status, &read.body), (200, &stored.body));
    }

    #[tokio::test]
    async fn a_repeated_event_returns_the_stored_one() {
        let publisher = Publisher::start().await;
        let event = json!({ "type": "any.thing", "id": ID, "data": { "a": 1, "b": [1.0] } });
        let first = publisher.publish("p", &event).await;

        // This request contains the same event in another spelling.
        let again =
            publisher.publish_text(format!(r#"{{"data":{{"b":[1],"a":1e0}},"id":"{ID}","type":"any.thing"}}"#)).await;
        assert_eq!((first.status, again.status), (201, 200));
        assert_eq!(first.body, again.body);

        // A generated id can be used in a repeat.
        let generated = publisher.publish("p", &event_with(&json!(1))).await;
        let repeated = json!({ "type": "any.thing", "data": 1, "id": generated.body["id"] });
        let repeated = publisher.publish("p", &repeated).await;
        assert_eq!((repeated.status, &repeated.body), (200, &generated.body));
        assert_eq!(publisher.events_of("p").await.len(), 2);
    }

    #[tokio::test]
    async fn an_array_is_stored_in_order_or_not_at_all() {
        let publisher = Publisher::start().await;
        let events: Vec<_> = (0..100).map(|n| event_with(&json!(n))).collect();
        let stored = publisher.publish("p", &json!(events)).await;
        assert_eq!(
            (stored.status, stored.header("etag"), stored.header("location")),
            (201, "\"100\"", "/v1/plans/p/events?from_seq=1")
        );
        let data: Vec<_> =
            stored.body["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect();
        assert_eq!(data, (0..100).map(Value::from).collect::<Vec<_>>());

        // An invalid event, or an id that appears twice, refuses the whole array.
        let invalid = json!([event_with(&json!(1)), { "type": "order.placed", "data": {} }]);
        publisher.publish("p", &invalid).await.assert_field_problem("schema_violation", "/1/data/amount", "required");
        let twice = json!([{ "type": "any.a", "id": ID }, { "type": "any.b" }, { "type": "any.a", "id": ID }]);
        publisher.publish("p", &twice).await.assert_field_problem("duplicate_id", "/2/id", "unique");
        assert_eq!(publisher.events_of("p").await.len(), 100, "an event of a refused array was stored");

        // Events that are stored already are skipped.
        let partly_stored =
            json!([{ "type": "any.thing", "data": 99, "id": stored.body["events"][99]["id"] }, { "type": "any.more" }]);
        let response = publisher.publish("p", &partly_stored).await;
        let seqs: Vec<_> =
            response.body["events"].as_array().unwrap().iter().map(|event| event["seq"].clone()).collect();
        assert_eq!((response.status, seqs), (201, vec![json!(100), json!(101)]));
    }

    #[tokio::test]
    async fn an_expected_head_that_does_not_match_is_refused() {
        let publisher = Publisher::start().await;
        let publish = async |name: &'static str, value: &'static str| {
            send(publisher.publish_request("p").header(name, value).json(&event_with(&json!(null)))).await
        };
        assert_eq!(publish("if-none-match", "*").await.status, 201);
        assert_eq!(publish("if-match", "\"1\"").await.status, 201);
        let refused = publish("if-match", "\"1\"").await.assert_problem("head_mismatch");
        assert_eq!(refused["head"], 2);
        assert_eq!(publish("if-none-match", "*").await.assert_problem("head_mismatch")["head"], 2);
        publish("if-match", "2").await.assert_field_problem("invalid_field", "If-Match", "format");
        assert_eq!(publisher.events_of("p").await.len(), 2);
    }

    #[tokio::test]
    async fn an_idempotency_key_makes_a_request_repeatable() {
        let publisher = Publisher::start().await;
        let publish = async |key: &str, body: &Value| {
            send(publisher.publish_request("p").header("idempotency-key", key).json(body)).await
        };
        let first = publish("k-1", &event_with(&json!(1))).await;
        let again = publish("k-1", &event_with(&json!(1))).await;
        assert_eq!((first.status, again.status, &first.body), (201, 200, &again.body));
        assert_eq!(first.body["metadata"]["sealbus"]["idempotency_key"], "k-1");
        publish("k-1", &event_with(&json!(2))).await.assert_field_problem(
            "idempotency_key_reused",
            "Idempotency-Key",
            "unique",
        );
        let array = json!([event_with(&json!(1)), event_with(&json!(2))]);
        let (first, again) = (publish("k-2", &array).await, publish("k-2", &array).await);
        assert_eq!((first.status, again.status, &first.body), (201, 200, &again.body));
        publish("", &event_with(&json!(1))).await.assert_field_problem("invalid_field", "Idempotency-Key", "length");
        assert_eq!(publisher.events_of("p").await.len(), 3);
    }

    #[tokio::test]
    async fn an_id_is_unique_within_a_tenant() {
        let publisher = Publisher::start().await;
        let event = |data: i32| json!({ "type": "any.thing", "id": ID, "data": data });
        assert_eq!(publisher.publish("p", &event(1)).await.status, 201);
        publisher.publish("p", &event(2)).await.assert_field_problem("id_conflict", "/id", "unique");
        publisher.publish("q", &event(1)).await.assert_problem("id_conflict");
        let other = publisher.request_as(axum::http::Method::POST, "/v1/plans/p/events", "other").json(&event(3));
        assert_eq!(send(other).await.status, 201, "an id of another tenant is a conflict");
    }

    #[tokio::test]
    async fn only_the_hash_of_a_hash_only_event_is_stored() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "quiet.word", "data": "hush" })).await;
        assert_eq!(
            (stored.status, &stored.body["data"], &stored.body["seal"]["payload_mode"]),
            (201, &Value::Null, &json!("hash-only"))
        );
        let verified = publisher.get("/v1/plans/p/verification", "acme").await;
        assert_eq!(verified.body["verdict"], "ok");
    }

    #[tokio::test]
    async fn only_uncompressed_json_is_accepted() {
        let publisher = Publisher::start().await;
        let with = async |media_type: &'static str| {
            send(publisher.publish_request("p").header("content-type", media_type).body(r#"{"type":"any.a"}"#)).await
        };
        assert_eq!(with("application/json; charset=utf-8").await.status, 201);
        for other in ["text/plain", "application/x-www-form-urlencoded", "application/cloudevents+json"] {
            with(other).await.assert_problem("unsupported_media_type");
        }
        let compressed = publisher.publish_request("p").header("content-encoding", "gzip").json(&event_with(&json!(1)));
        send(compressed).await.assert_problem("unsupported_media_type");
    }

    #[tokio::test]
    async fn concurrent_requests_to_one_plan_leave_no_gap() {
        let publisher = Publisher::start().await;
        let calls =
            (0..64).map(async |n| publisher.publish("p", &event_with(&json!(n))).await.body["seq"].as_u64().unwrap());
        let mut seqs = futures::future::join_all(calls).await;
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=64).collect::<Vec<_>>());
    }
}
