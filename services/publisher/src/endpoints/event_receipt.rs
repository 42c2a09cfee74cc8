//! `GET /v1/events/{id}/receipt`: the receipt of an event (`docs/spec/integrity.md#log-receipts`).
//!
//! A client that keeps the receipt can prove later that the event was accepted, even if it is missing by then.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::token::Scope;
use crate::http::parameters::Parameters;
use crate::http::path::IdPath;
use crate::http::problem::Problem;

/// `GET /v1/events/{id}/receipt` returns 200 with the receipt as JSON. It contains a proof once an anchored checkpoint
/// covers the event.
///
/// It needs the scope `read`. Errors: `not_found` if the tenant has no event with this id.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    parameters.finish()?;
    let record = app.reading.stored(&tenant, id).await?;
    let receipt = app.receipts.of_record(&record).await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], receipt).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::{Value, json};

    use crate::tests::support::{Publisher, assert_proven, send};

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
