//! `GET /v1/events`: all events in log order, page by page.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use sealbus_core::event::Record;
use sealbus_ledger::history::trail::LogQuery;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::tokens::Scope;
use crate::http::answers::{self, Form, with_header};
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::http::{links, pages};

pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenants = caller.log()?;
    let from_index = parameters.number("from_index")?.unwrap_or_default();
    let limit = parameters.limit()?;
    parameters.end()?;
    let (mut records, mut from, mut bytes, mut more): (Vec<Record>, _, _, _) = (Vec::new(), from_index, 0, true);
    while more && records.len() < limit as usize && bytes < pages::BYTES {
        let wanted = (limit - u32::try_from(records.len()).unwrap_or(limit)).min(pages::CHUNK);
        let chunk = app
            .ledger
            .history()
            .log_page(&LogQuery { tenants: tenants.clone(), from_index: from, limit: wanted })
            .await?;
        more = chunk.len() == wanted as usize;
        from = chunk.last().and_then(|last| last.log_index).map_or(from, |index| index + 1);
        bytes += pages::weight(&chunk);
        records.extend(chunk);
    }
    let next = more.then(|| from.to_string());
    let views = app.views(&caller.token, records.into_iter().map(Arc::new)).await?;
    let answer =
        answers::page(Form::accepted(&headers), &answers::Page { events: &views, total: None, next: next.as_deref() });
    Ok(match next {
        Some(index) => with_header(answer, header::LINK, &links::next(&uri, "from_index", &index)),
        None => answer,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::support::{Answer, Publisher, answer};

    fn seen(answer: &Answer) -> Vec<(String, Option<u64>)> {
        let events = answer.body["events"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        events.iter().map(|event| (event["tenant"].as_str().unwrap().to_owned(), event["log_index"].as_u64())).collect()
    }

    /// Leaf 0 is the first key's; then acme and other take turns.
    async fn with_two_tenants() -> Publisher {
        let publisher = Publisher::start().await;
        for n in 0..6 {
            let token = ["acme", "other"][n % 2];
            let call = publisher
                .call(axum::http::Method::POST, "/v1/plans/p/events", token)
                .json(&json!({ "type": "any.a", "data": n }));
            assert_eq!(answer(call).await.status, 201);
        }
        publisher.seal().await;
        publisher
    }

    #[tokio::test]
    async fn the_log_shows_a_token_its_tenants() {
        let publisher = with_two_tenants().await;
        let indexes = async |token: &str| {
            seen(&publisher.get("/v1/events", token).await)
                .into_iter()
                .map(|(_, index)| index.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(indexes("acme").await, [1, 3, 5]);
        assert_eq!(indexes("other").await, [2, 4, 6]);
        assert_eq!(indexes("both").await, [1, 2, 3, 4, 5, 6]);
        assert_eq!(indexes("operator").await, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(indexes("auditor").await, [0, 1, 2, 3, 4, 5, 6], "log.read is for all tenants");
        let named =
            publisher.call(axum::http::Method::GET, "/v1/events", "operator").header("sealbus-tenant", "_system");
        assert_eq!(seen(&answer(named).await), [("_system".to_owned(), Some(0))]);
        let foreign = publisher.call(axum::http::Method::GET, "/v1/events", "acme").header("sealbus-tenant", "other");
        answer(foreign).await.is_problem("cross_tenant");
    }

    #[tokio::test]
    async fn pages_follow_one_another() {
        let publisher = with_two_tenants().await;
        let (mut path, mut all) = ("/v1/events?limit=2".to_owned(), Vec::new());
        loop {
            let page = publisher.get(&path, "both").await;
            all.extend(seen(&page));
            let Some(link) = page.header("link").strip_prefix('<') else {
                assert_eq!(page.body["next"], Value::Null);
                break;
            };
            path = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
        assert_eq!(all.iter().map(|(_, index)| index.unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(seen(&publisher.get("/v1/events?from_index=5", "both").await).len(), 2);
        publisher.get("/v1/events?from_index=x", "both").await.is_field_problem("invalid_field", "from_index", "type");
        publisher.get("/v1/events?after=3", "both").await.is_field_problem("invalid_field", "after", "unknown");
    }

    #[tokio::test]
    async fn what_is_not_sealed_is_not_in_the_log() {
        let publisher = with_two_tenants().await;
        publisher.publish("p", &json!({ "type": "any.a" })).await;
        assert_eq!(seen(&publisher.get("/v1/events?from_index=7", "operator").await), []);
        publisher.seal().await;
        assert_eq!(seen(&publisher.get("/v1/events?from_index=7", "operator").await), [("acme".to_owned(), Some(7))]);
    }
}
