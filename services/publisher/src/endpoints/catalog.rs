//! `GET /v1/catalog`: the event types that may be published, with their schemas and policies.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::token::Scope;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::http::responses::json;

/// `GET /v1/catalog` returns 200 with the catalog.
///
/// It needs the scope `publish` or `read`: a client that publishes has to know the types.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, Problem> {
    if !caller.token.has_scope(Scope::Publish) {
        caller.require(Scope::Read)?;
    }
    parameters.finish()?;
    Ok(json(StatusCode::OK, &app.catalog.to_json()))
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
