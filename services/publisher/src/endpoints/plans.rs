//! `GET /v1/plans`: the names of a tenant's plans.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use serde_json::json;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{Parameters, Problem, next_link};

/// `GET /v1/plans` returns 200 with a page of plan names that begin with `prefix`, in byte order, after the name in `after`.
/// `next` and the `Link` header name the next page.
///
/// It needs the scope `read`.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    let prefix = parameters.text("prefix")?.unwrap_or_default();
    let after = parameters.text("after")?.unwrap_or_default();
    let limit = parameters.limit()?;
    parameters.finish()?;
    let mut plans = app.ledger.history().plans(&tenant, &prefix, &after, limit + 1).await?;
    let more = plans.len() > limit as usize;
    plans.truncate(limit as usize);
    let next = plans.last().filter(|_| more);
    let link = next.map(|name| {
        // Only these two characters of a plan's name have another meaning in a query.
        let name = name.replace('+', "%2B").replace('=', "%3D");
        [(header::LINK, next_link(&uri, "after", &name))]
    });
    Ok((link, Json(json!({ "plans": plans, "next": next }))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::support::Publisher;

    #[tokio::test]
    async fn plans_are_listed_by_prefix_and_page() {
        let publisher = Publisher::start().await;
        for plan in ["a-1", "a+=2", "b-1", "a-3"] {
            assert_eq!(publisher.publish(&plan.replace('+', "%2B"), &json!({ "type": "any.a" })).await.status, 201);
        }
        let all = publisher.get("/v1/plans", "acme").await;
        assert_eq!(all.body, json!({ "plans": ["a+=2", "a-1", "a-3", "b-1"], "next": null }));
        let first = publisher.get("/v1/plans?prefix=a&limit=1", "acme").await;
        assert_eq!(first.body, json!({ "plans": ["a+=2"], "next": "a+=2" }));
        let link = first.header("link").strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        assert_eq!(publisher.get(link, "acme").await.body, json!({ "plans": ["a-1"], "next": "a-1" }));
        assert_eq!(
            publisher.get("/v1/plans?prefix=a&after=a-1", "acme").await.body,
            json!({ "plans": ["a-3"], "next": null })
        );
        assert_eq!(publisher.get("/v1/plans", "other").await.body, json!({ "plans": [], "next": null }));
    }
}
