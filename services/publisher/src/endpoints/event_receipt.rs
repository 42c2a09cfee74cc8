//! `GET /v1/events/{id}/receipt`: INTEGRITY's record of an event, with its proof once an anchored checkpoint covers it. Who keeps it
//! can show later that the event was promised, or that it is missing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::tokens::Scope;
use crate::http::parameters::Parameters;
use crate::http::path::IdPath;
use crate::http::problem::Problem;

pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.reads()?;
    parameters.end()?;
    let record = app.stored(&tenant, id).await?;
    let receipt = app.receipt(&record).await?;
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
