//! `GET /v1/events/{id}/data`: the data of one event.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::cloudevents::to_binary;

use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::token::Scope;
use crate::http::parameters::Parameters;
use crate::http::path::IdPath;
use crate::http::problem::Problem;

/// `GET /v1/events/{id}/data` returns 200 with the event in the binary mode of `CloudEvents`: the body is the published
/// data, also if it is not JSON, and the headers are the attributes.
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
    let view = app.reading.view(&caller.token, &tenant, id).await?;
    let (attributes, body) = to_binary(&view);
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    // Browsers must not render data, whose content type the publishing client chose.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    for (name, value) in attributes {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use crate::tests::support::{Publisher, send};

    #[tokio::test]
    async fn binary_data_is_returned_as_it_was_published() {
        let publisher = Publisher::start().await;
        let image = [0_u8, 159, 146, 150];
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "photo%207"),
            ("ce-source", "/camera"),
            ("ce-type", "any.image"),
            ("ce-subject", "p"),
            ("ce-place", "Z%C3%BCrich"),
            ("content-type", "image/png"),
        ];
        let request = headers
            .into_iter()
            .fold(publisher.request_as(Method::POST, "/v1/events", "acme"), |request, (name, value)| {
                request.header(name, value)
            });
        let stored = send(request.body(image.to_vec())).await;
        assert_eq!(stored.status, 201, "{stored:?}");
        assert_eq!(stored.body["data"], "AJ+Slg==");
        let shown = publisher.get(&format!("{}/data", stored.header("location")), "acme").await;
        assert_eq!(shown.bytes.as_ref(), image);
        for (name, value) in [
            ("content-type", "image/png"),
            ("ce-id", "photo%207"),
            ("ce-source", "/camera"),
            ("ce-subject", "p"),
            ("ce-place", "Z%C3%BCrich"),
            ("ce-sequence", "1"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(shown.header(name), value, "{name}");
        }
        publisher.get(&format!("{}/data", stored.header("location")), "other").await.assert_problem("not_found");
    }
}
