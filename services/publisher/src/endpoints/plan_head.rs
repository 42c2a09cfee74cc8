//! `GET /v1/plans/{plan}/head`: the last event of a plan.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use sealbus_core::error::ErrorKind;
use serde_json::json;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{Parameters, PlanPath, Problem};

/// `GET /v1/plans/{plan}/head` returns 200 with seq and hash of the plan's last event, and the seq as `ETag`. With
/// `below_index` it is the last sealed event whose log index is lower.
///
/// It needs the scope `read`. Errors: `not_found` if the plan has no such event.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    PlanPath(plan): PlanPath,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_to_read()?;
    let below_index = parameters.number("below_index")?;
    parameters.finish()?;
    let head = app.ledger.history().head(&tenant, &plan, below_index).await?;
    let head = head.ok_or_else(|| Problem::new(ErrorKind::NotFound, "the plan has no such event"))?;
    let etag = [(header::ETAG, format!("\"{}\"", head.seq))];
    Ok((etag, Json(json!({ "seq": head.seq, "hash": head.hash }))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::support::Publisher;

    #[tokio::test]
    async fn the_head_is_the_last_event_or_the_last_sealed_one_below_an_index() {
        let publisher = Publisher::start().await;
        publisher.get("/v1/plans/p/head", "acme").await.assert_problem("not_found");
        let events = vec![json!({ "type": "any.a" }); 3];
        let stored = publisher.publish("p", &json!(events)).await;
        let hash = |index: usize| stored.body["events"][index]["seal"]["hash"].clone();
        let head = publisher.get("/v1/plans/p/head", "acme").await;
        assert_eq!(
            (head.body, head.headers["etag"].to_str().unwrap()),
            (json!({ "seq": 3, "hash": hash(2) }), "\"3\"")
        );
        publisher.get("/v1/plans/p/head?below_index=3", "acme").await.assert_problem("not_found");
        publisher.seal().await;
        // Leaf 0 is the signing key's, leaves 1 to 3 are the plan's.
        assert_eq!(
            publisher.get("/v1/plans/p/head?below_index=3", "acme").await.body,
            json!({ "seq": 2, "hash": hash(1) })
        );
        publisher.get("/v1/plans/p/head?below_index=1", "acme").await.assert_problem("not_found");
        publisher.get("/v1/plans/p/head?below_index=x", "acme").await.assert_field_problem(
            "invalid_field",
            "below_index",
            "type",
        );
    }
}
