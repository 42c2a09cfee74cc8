//! `GET /v1/events`: sealed events in log order, page by page.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::IntoResponse;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{EventFormat, EventPage, Parameters, Problem, next_link, page, page_bytes};

/// `GET /v1/events` returns 200 with a page of events from `from_index` on. `next` and the `Link` header name the next page.
///
/// It needs the scope `read`. The page contains the events of the token's tenants, of all tenants with the scope `log.read`,
/// or of the tenant in the `Sealbus-Tenant` header.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::Read)?;
    let format = EventFormat::of_page(&headers)?;
    let tenants = caller.tenants_in_log()?;
    let from_index = parameters.number("from_index")?.unwrap_or_default();
    let limit = parameters.limit()?;
    parameters.finish()?;
    let memory = app.answers.reserve(&caller.token.name, page_bytes(limit as usize, format)).await?;
    let read = app.ledger.history().log_page(tenants.as_deref(), from_index, limit).await?;
    let next = read.next.map(|index| index.to_string());
    let views = app.reading.views(&caller.token, read.records.into_iter().map(Arc::new)).await?;
    let link = next.as_ref().map(|index| [(header::LINK, next_link(&uri, "from_index", index))]);
    let events = EventPage { events: &views, total: None, next: next.as_deref() };
    Ok((link, page(format, &events, memory)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::support::{Publisher, TestResponse, send};

    /// Returns tenant and log index of each event of a page.
    fn tenants_and_indexes(page: &TestResponse) -> Vec<(String, Option<u64>)> {
        let events = page.body["events"].as_array().unwrap_or_else(|| panic!("not a page of events: {page:?}"));
        events.iter().map(|event| (event["tenant"].as_str().unwrap().to_owned(), event["log_index"].as_u64())).collect()
    }

    /// Starts a publisher with a log of seven leaves: leaf 0 is the signing key's, the others alternate between acme and other.
    async fn start_with_two_tenants() -> Publisher {
        let publisher = Publisher::start().await;
        for n in 0..6 {
            let token = ["acme", "other"][n % 2];
            let call = publisher
                .request_as(axum::http::Method::POST, "/v1/plans/p/events", token)
                .json(&json!({ "type": "any.a", "data": n }));
            assert_eq!(send(call).await.status, 201);
        }
        publisher.seal().await;
        publisher
    }

    #[tokio::test]
    async fn a_page_of_the_log_contains_the_tenants_of_the_token() {
        let publisher = start_with_two_tenants().await;
        let indexes = async |token: &str| {
            tenants_and_indexes(&publisher.get("/v1/events", token).await)
                .into_iter()
                .map(|(_, index)| index.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(indexes("acme").await, [1, 3, 5]);
        assert_eq!(indexes("other").await, [2, 4, 6]);
        assert_eq!(indexes("both").await, [1, 2, 3, 4, 5, 6]);
        assert_eq!(indexes("operator").await, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(indexes("auditor").await, [0, 1, 2, 3, 4, 5, 6], "log.read does not show all tenants");
        let named =
            publisher.request_as(axum::http::Method::GET, "/v1/events", "operator").header("sealbus-tenant", "_system");
        assert_eq!(tenants_and_indexes(&send(named).await), [("_system".to_owned(), Some(0))]);
        let cross_tenant =
            publisher.request_as(axum::http::Method::GET, "/v1/events", "acme").header("sealbus-tenant", "other");
        send(cross_tenant).await.assert_problem("cross_tenant");
    }

    #[tokio::test]
    async fn log_read_shows_neither_data_nor_metadata_of_other_tenants() {
        let publisher = Publisher::start().await;
        for token in ["acme", "other"] {
            for name in ["any.a", "private.note"] {
                let event = json!({ "type": name, "data": { "who": "secret" }, "metadata": { "reason": "secret" } });
                let request = publisher.request_as(axum::http::Method::POST, "/v1/plans/p/events", token);
                assert_eq!(send(request.json(&event)).await.status, 201);
            }
        }
        publisher.seal().await;
        let page = publisher.get("/v1/events", "auditor").await;
        let mut stream = publisher.stream("/v1/events/stream?after=0", "auditor", None).await;
        for event in &page.body["events"].as_array().unwrap()[1..] {
            assert_eq!(stream.next().await.unwrap().1, *event, "a stream shows more or less than a page");
            let is_own = event["tenant"] == "acme";
            assert_eq!((event["data"].is_null(), event["metadata"].is_null()), (!is_own, !is_own), "{event}");
            assert_eq!(event.to_string().contains("secret"), is_own, "{event}");
            assert!(event["seal"]["payload_hash"].is_string() && event["log_index"].is_u64(), "{event}");
        }
        let request = publisher.request_as(axum::http::Method::GET, "/v1/events", "auditor");
        let batch = send(request.header("accept", "application/cloudevents-batch+json")).await;
        assert_eq!(batch.body.as_array().unwrap().iter().filter(|event| event["data"].is_object()).count(), 2);
    }

    #[tokio::test]
    async fn pages_are_linked() {
        let publisher = start_with_two_tenants().await;
        let (mut path, mut all) = ("/v1/events?limit=2".to_owned(), Vec::new());
        loop {
            let page = publisher.get(&path, "both").await;
            all.extend(tenants_and_indexes(&page));
            let Some(link) = page.header("link").strip_prefix('<') else {
                assert_eq!(page.body["next"], Value::Null);
                break;
            };
            path = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
        assert_eq!(all.iter().map(|(_, index)| index.unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(tenants_and_indexes(&publisher.get("/v1/events?from_index=5", "both").await).len(), 2);
        publisher.get("/v1/events?from_index=x", "both").await.assert_field_problem(
            "invalid_field",
            "from_index",
            "type",
        );
        publisher.get("/v1/events?after=3", "both").await.assert_field_problem("invalid_field", "after", "unknown");
    }

    #[tokio::test]
    async fn pages_and_streams_pass_more_events_of_other_tenants_than_a_page_examines() {
        let publisher = Publisher::start().await;
        for _ in 0..11 {
            let call = publisher.request_as(axum::http::Method::POST, "/v1/plans/p/events", "other");
            assert_eq!(send(call.json(&json!(vec![json!({ "type": "any.a" }); 1_000]))).await.status, 201);
        }
        publisher.publish("p", &json!({ "type": "any.a" })).await;
        publisher.seal().await;
        let first = publisher.get("/v1/events", "acme").await;
        assert_eq!((tenants_and_indexes(&first), &first.body["next"]), (Vec::new(), &json!("10000")));
        let second = publisher.get("/v1/events?from_index=10000", "acme").await;
        assert_eq!(tenants_and_indexes(&second), [("acme".to_owned(), Some(11_001))]);
        assert_eq!(second.body["next"], Value::Null);
        let mut stream = publisher.stream("/v1/events/stream", "acme", Some(0)).await;
        assert_eq!(stream.ids(1).await, [11_001]);
    }

    #[tokio::test]
    async fn an_event_is_in_the_log_once_it_is_sealed() {
        let publisher = start_with_two_tenants().await;
        publisher.publish("p", &json!({ "type": "any.a" })).await;
        assert_eq!(tenants_and_indexes(&publisher.get("/v1/events?from_index=7", "operator").await), []);
        publisher.seal().await;
        assert_eq!(
            tenants_and_indexes(&publisher.get("/v1/events?from_index=7", "operator").await),
            [("acme".to_owned(), Some(7))]
        );
    }
}
