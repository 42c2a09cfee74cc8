//! `GET /log/checkpoint`: the newest anchored checkpoint (c2sp.org/tlog-checkpoint).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::error::ErrorKind;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;

/// `GET /log/checkpoint` returns 200 with the checkpoint as a signed note.
///
/// Any token may read it, because it reveals nothing about an event. Errors: `not_found` if no checkpoint is anchored yet.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    _: Caller,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let shown = app.ledger.log().shown_checkpoint().await?;
    let (_, note) = shown.ok_or_else(|| Problem::new(ErrorKind::NotFound, "no checkpoint is anchored yet"))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], note).into_response())
}

#[cfg(test)]
mod tests {
    use crate::tests::support::{Publisher, send};

    #[tokio::test]
    async fn the_newest_anchored_checkpoint_is_returned() {
        let publisher = Publisher::start().await;
        publisher.get("/log/checkpoint", "acme").await.assert_problem("not_found");
        let note = publisher.anchor().await;
        let response = publisher.request_as(axum::http::Method::GET, "/log/checkpoint", "writer").send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(response.text().await.unwrap(), note.to_string());
        let request = publisher.request_as(axum::http::Method::GET, "/log/checkpoint?size=1", "acme");
        send(request).await.assert_field_problem("invalid_field", "size", "unknown");
    }
}
