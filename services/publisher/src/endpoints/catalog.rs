//! `GET /v1/catalog`: the event types that may be published, with their schemas and policies.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{Parameters, Problem};

/// `GET /v1/catalog` returns 200 with the catalog.
///
/// It needs the scope `publish` or `read`: a client that publishes has to know the types.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    if !caller.token.has_scope(Scope::Publish) {
        caller.require(Scope::Read)?;
    }
    parameters.finish()?;
    Ok(Json(app.publishing.catalog.to_json()))
}

#[cfg(test)]
mod tests {
    use crate::tests::support::Publisher;

    #[tokio::test]
    async fn the_catalog_contains_built_in_and_user_types() {
        let publisher = Publisher::start().await;
        let shown = publisher.get("/v1/catalog", "writer").await;
        let names = |list: &str, key: &str| {
            shown.body[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry[key].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let types = names("types", "type");
        assert!(
            types.contains(&"transaction.unwind_initiated".to_owned()) && types.contains(&"order.placed".to_owned()),
            "{types:?}"
        );
        assert!(names("patterns", "pattern").contains(&"any.*".to_owned()));
        assert!(names("channels", "name").contains(&"security".to_owned()));
    }
}
