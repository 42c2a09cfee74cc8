//! `GET /v1/events/{id}`: one event of a tenant.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::token::Scope;
use crate::http::parameters::Parameters;
use crate::http::path::IdPath;
use crate::http::problem::Problem;
use crate::http::responses::{EventFormat, event};

/// `GET /v1/events/{id}` returns 200 with the event, in Sealbus JSON or as a `CloudEvent`.
///
/// It needs the scope `read`. Errors: `not_found` if the tenant has no event with this id.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    parameters.finish()?;
    let view = app.reading.view(&caller.token, &tenant, id).await?;
    Ok(event(StatusCode::OK, EventFormat::from_accept(&headers), &view))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::support::{Publisher, send};

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

    #[tokio::test]
    async fn an_event_is_returned_as_a_cloudevent_if_accepted() {
        let publisher = Publisher::start().await;
        let stored =
            publisher.publish("p", &json!({ "type": "any.a", "id": "A-1", "source": "/orders", "data": [1] })).await;
        let request = publisher
            .request_as(axum::http::Method::GET, stored.header("location"), "acme")
            .header("accept", "application/cloudevents+json");
        let shown = send(request).await;
        assert_eq!(shown.header("content-type"), "application/cloudevents+json");
        let expected = json!({ "specversion": "1.0", "id": "A-1", "source": "/orders", "type": "any.a", "subject": "p", "tenantid": "acme", "sequence": "1", "data": [1] });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&shown.body[name], value, "{name}");
        }
    }
}
