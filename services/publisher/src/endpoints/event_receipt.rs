//! `GET /v1/events/{id}/receipt`: the receipt of an event. A client that keeps it can prove later that the event was accepted,
//! even if it is missing by then.

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

    use crate::tests::support::{Publisher, answer, proven};

    #[tokio::test]
    async fn a_receipt_is_given_at_any_time_and_proves_the_event_once_it_is_anchored() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a", "data": { "amount": "10.00" } })).await;
        let path = format!("{}/receipt", stored.header("location"));
        let before = publisher.get(&path, "reader").await;
        assert_eq!(before.header("content-type"), "application/json");
        assert_eq!(
            (&before.body["event_hash"], &before.body["log_index"], &before.body["proof"]),
            (&stored.body["seal"]["hash"], &Value::Null, &Value::Null)
        );
        assert_eq!(before.body["payload"], r#"{"amount":"10.00"}"#, "the stored text");
        publisher.seal().await;
        let sealed = publisher.get(&path, "reader").await;
        assert_eq!(sealed.body, before.body, "a leaf alone proves nothing");
        publisher.anchor().await;
        let after = publisher.get(&path, "reader").await;
        assert_eq!(proven(&after.bytes), 1);
        assert_eq!(after.body["log_index"], 1);
    }

    #[tokio::test]
    async fn a_receipt_is_its_own_tenants_and_for_readers() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        let path = format!("{}/receipt", stored.header("location"));
        publisher.get(&path, "other").await.is_problem("not_found");
        publisher.get(&path, "writer").await.is_problem("forbidden");
        publisher.get(&format!("{path}?wait=sealed"), "acme").await.is_field_problem(
            "invalid_field",
            "wait",
            "unknown",
        );
        let unknown = publisher.call(Method::GET, "/v1/events/0197f2a1-0000-7000-8000-000000000009/receipt", "acme");
        answer(unknown).await.is_problem("not_found");
    }
}
