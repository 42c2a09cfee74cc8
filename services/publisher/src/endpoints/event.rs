//! One event of a tenant: the event, its data, its proof and its receipt.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::cloudevents::to_binary;
use sealbus_core::error::ErrorKind;
use sealbus_core::event::Record;
use uuid::Uuid;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{EVENT_BYTES, EventFormat, IdPath, JSON, Parameters, Problem, event, held, held_bytes, page_bytes};
use crate::publish::{proof_of, receipt_text};

/// `GET /v1/events/{id}` returns 200 with the event, in Sealbus JSON or as a `CloudEvent`.
///
/// It needs the scope `read`. Errors: `not_found` if the tenant has no event with this id, `not_acceptable` if the client
/// accepts neither form.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let format = EventFormat::of_event(&headers)?;
    let memory = app.answers.reserve(&caller.token.name, page_bytes(1, format)).await?;
    let record = stored(&app, &caller, id, parameters).await?;
    let view = app.reading.view(&caller.token, record).await?;
    Ok(event(format, &view, memory))
}

/// `GET /v1/events/{id}/data` returns 200 with the event in the binary mode of `CloudEvents`: the body is the published
/// data, also if it is not JSON, and the headers are the attributes.
///
/// It needs the scope `read`. Errors: `not_found` if the tenant has no event with this id.
pub(super) async fn data(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let memory = app.answers.reserve(&caller.token.name, EVENT_BYTES).await?;
    let record = stored(&app, &caller, id, parameters).await?;
    let (attributes, body) = to_binary(&app.reading.view(&caller.token, record).await?);
    let mut response = Response::new(Body::from(held_bytes(body, memory)));
    let headers = response.headers_mut();
    // Browsers must not render data, whose content type the publishing client chose.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    for (name, value) in attributes {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// `GET /v1/events/{id}/proof` returns 200 with the proof that the log contains the event, as text (c2sp.org/tlog-proof).
///
/// Any token of the tenant may read it, because it contains the event's header and otherwise only hashes. Errors:
/// `not_found` if the tenant has no event with this id, or no anchored checkpoint covers it yet.
pub(super) async fn proof(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let _memory = app.answers.reserve(&caller.token.name, EVENT_BYTES).await?;
    let record = stored(&app, &caller, id, parameters).await?;
    let Some((_, proof)) = proof_of(&app.ledger, &record).await? else {
        let detail = "no anchored checkpoint covers the event yet; retry in a second";
        return Err(Problem::new(ErrorKind::NotFound, detail));
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], proof).into_response())
}

/// `GET /v1/events/{id}/receipt` returns 200 with the receipt as JSON (`docs/spec/integrity.md#log-receipts`). It contains a
/// proof once an anchored checkpoint covers the event. A client that keeps it can prove later that the event was accepted,
/// even if the event is missing by then.
///
/// It needs the scope `read`. Errors: `not_found` if the tenant has no event with this id.
pub(super) async fn receipt(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let memory = app.answers.reserve(&caller.token.name, EVENT_BYTES).await?;
    let record = stored(&app, &caller, id, parameters).await?;
    let receipt = receipt_text(&record, proof_of(&app.ledger, &record).await?);
    Ok(held(JSON, receipt.into_bytes(), memory))
}

/// Returns the event with this id of the tenant that the request reads, as it is stored.
async fn stored(app: &App, caller: &Caller, id: Uuid, parameters: Parameters) -> Result<Record, Problem> {
    let tenant = caller.tenant_to_read()?;
    parameters.finish()?;
    let record = app.ledger.history().event(&tenant, id).await?;
    record.ok_or_else(|| Problem::new(ErrorKind::NotFound, "the tenant has no event with this id"))
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
    use sealbus_core::log::proof::EventProof;
    use serde_json::{Value, json};

    use crate::tests::support::{ORIGIN, Publisher, assert_proven, log_key, send};

    #[tokio::test]
    async fn an_event_is_found_only_by_its_own_tenant() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        let path = stored.header("location").to_owned();
        assert_eq!(publisher.get(&path, "acme").await.body, stored.body);
        publisher.get(&path, "other").await.assert_problem("not_found");
        publisher.get("/v1/events/0197f2a1-0000-7000-8000-000000000009", "acme").await.assert_problem("not_found");
        publisher.get("/v1/events/A-1", "acme").await.assert_field_problem("invalid_field", "id", "format");
    }

    /// An id in another spelling is the id of another event when it is published, so it does not find this one.
    #[tokio::test]
    async fn an_event_is_found_by_the_canonical_spelling_of_its_id_only() {
        let publisher = Publisher::start().await;
        let id = "0197f2a1-0000-7000-8000-00000000000a";
        assert_eq!(publisher.publish("p", &json!({ "type": "any.a", "id": id })).await.status, 201);
        assert_eq!(publisher.get(&format!("/v1/events/{id}"), "acme").await.status, 200);
        for spelling in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("%7B{id}%7D"),
            format!("urn:uuid:{id}"),
            format!("{id}%20"),
            format!("%20{id}"),
            format!("{id}%00"),
            "%FF".to_owned(),
        ] {
            for part in ["", "/data", "/proof", "/receipt"] {
                let response = publisher.get(&format!("/v1/events/{spelling}{part}"), "acme").await;
                response.assert_field_problem("invalid_field", "id", "format");
            }
        }
    }

    #[tokio::test]
    async fn an_event_in_no_accepted_format_is_refused_and_not_stored() {
        let publisher = Publisher::start().await;
        let publish = async |accept: &'static str| {
            let request = publisher.request_as(Method::POST, "/v1/plans/p/events", "acme").header("accept", accept);
            send(request.json(&json!({ "type": "any.a", "id": "0197f2a1-0000-7000-8000-00000000000a" }))).await
        };
        publish("text/html").await.assert_problem("not_acceptable");
        assert!(publisher.events_of("p").await.is_empty(), "an event was stored");
        let event = json!({ "specversion": "1.0", "id": "A", "type": "any.a", "subject": "p" });
        let request = publisher.request_as(Method::POST, "/v1/events", "acme").header("accept", "text/html");
        let request = request.header("content-type", "application/cloudevents+json").body(event.to_string());
        send(request).await.assert_problem("not_acceptable");
        assert!(publisher.events_of("p").await.is_empty(), "an event was stored");
        let stored = publish("application/json;q=0.2, application/cloudevents+json;q=0.3").await;
        assert_eq!((stored.status, stored.header("content-type")), (201, "application/cloudevents+json"));
        for path in [stored.header("location"), "/v1/plans/p/events", "/v1/events"] {
            let get =
                async |accept| send(publisher.request_as(Method::GET, path, "acme").header("accept", accept)).await;
            get("text/html, application/json;q=0").await.assert_problem("not_acceptable");
            let shown = get("application/*;q=0.1, application/cloudevents+json;q=0, application/json").await;
            assert_eq!(shown.header("content-type"), "application/json", "{path}");
        }
    }

    #[tokio::test]
    async fn an_event_is_returned_as_a_cloudevent_if_accepted() {
        let publisher = Publisher::start().await;
        let stored =
            publisher.publish("p", &json!({ "type": "any.a", "id": "A-1", "source": "/orders", "data": [1] })).await;
        let request = publisher
            .request_as(Method::GET, stored.header("location"), "acme")
            .header("accept", "application/cloudevents+json");
        let shown = send(request).await;
        assert_eq!(shown.header("content-type"), "application/cloudevents+json");
        let expected = json!({ "specversion": "1.0", "id": "A-1", "source": "/orders", "type": "any.a", "subject": "p", "tenantid": "acme", "sequence": "1", "data": [1] });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&shown.body[name], value, "{name}");
        }
    }

    #[tokio::test]
    async fn binary_data_is_returned_as_it_was_published() {
        let publisher = Publisher::start().await;
        let image = [0_u8, 159, 146, 150];
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "photo%207"),
            ("ce-source", "/camera"),
            ("ce-type", "any.image"),
            ("ce-subject", "p"),
            ("ce-place", "Z%C3%BCrich"),
            ("content-type", "image/png"),
        ];
        let request = headers
            .into_iter()
            .fold(publisher.request_as(Method::POST, "/v1/events", "acme"), |request, (name, value)| {
                request.header(name, value)
            });
        let stored = send(request.body(image.to_vec())).await;
        assert_eq!(stored.status, 201, "{stored:?}");
        assert_eq!(stored.body["data"], "AJ+Slg==");
        let shown = publisher.get(&format!("{}/data", stored.header("location")), "acme").await;
        assert_eq!(shown.bytes.as_ref(), image);
        for (name, value) in [
            ("content-type", "image/png"),
            ("ce-id", "photo%207"),
            ("ce-source", "/camera"),
            ("ce-subject", "p"),
            ("ce-place", "Z%C3%BCrich"),
            ("ce-sequence", "1"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(shown.header(name), value, "{name}");
        }
        publisher.get(&format!("{}/data", stored.header("location")), "other").await.assert_problem("not_found");
    }

    #[tokio::test]
    async fn a_proof_is_accepted_by_a_verifier_that_pins_the_logs_key() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        let path = format!("{}/proof", stored.header("location"));
        publisher.get(&path, "acme").await.assert_problem("not_found");
        publisher.publish("q", &json!(vec![json!({ "type": "any.a" }); 20])).await;
        publisher.anchor().await;
        let text = publisher.request_as(Method::GET, &path, "writer").send().await.unwrap().text().await.unwrap();
        let proof = EventProof::parse(text.as_bytes()).unwrap();
        let key = log_key();
        let signed = SignedCheckpoint::open(&proof.note, ORIGIN, std::slice::from_ref(&key)).unwrap();
        let checkpoint: &Checkpoint = signed.checkpoint();
        assert_eq!(checkpoint.size(), 22);
        proof.check(&proof.leaf, checkpoint).unwrap();
        let hash = sealbus_core::event::Leaf::decode(&proof.leaf).unwrap().header.hash();
        assert_eq!(json!(hash), stored.body["seal"]["hash"], "the proof is of another event");
        publisher.get(&path, "other").await.assert_problem("not_found");
    }

    #[tokio::test]
    async fn a_receipt_has_a_proof_once_the_event_is_anchored() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a", "data": { "amount": "10.00" } })).await;
        let path = format!("{}/receipt", stored.header("location"));

        // Before sealing, the receipt has no proof.
        let before = publisher.get(&path, "reader").await;
        assert_eq!(before.header("content-type"), "application/json");
        assert_eq!(
            (&before.body["event_hash"], &before.body["log_index"], &before.body["proof"]),
            (&stored.body["seal"]["hash"], &Value::Null, &Value::Null)
        );
        assert_eq!(before.body["payload"], r#"{"amount":"10.00"}"#, "the payload is not the stored text");

        // A leaf without an anchored checkpoint does not change the receipt.
        publisher.seal().await;
        let sealed = publisher.get(&path, "reader").await;
        assert_eq!(sealed.body, before.body);

        // An anchored checkpoint adds the proof.
        publisher.anchor().await;
        let after = publisher.get(&path, "reader").await;
        assert_eq!(assert_proven(&after.bytes), 1);
        assert_eq!(after.body["log_index"], 1);
    }

    #[tokio::test]
    async fn a_receipt_requires_the_tenant_and_the_scope_read() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        let path = format!("{}/receipt", stored.header("location"));
        publisher.get(&path, "other").await.assert_problem("not_found");
        publisher.get(&path, "writer").await.assert_problem("forbidden");
        publisher.get(&format!("{path}?wait=sealed"), "acme").await.assert_field_problem(
            "invalid_field",
            "wait",
            "unknown",
        );
        let unknown =
            publisher.request_as(Method::GET, "/v1/events/0197f2a1-0000-7000-8000-000000000009/receipt", "acme");
        send(unknown).await.assert_problem("not_found");
    }
}
