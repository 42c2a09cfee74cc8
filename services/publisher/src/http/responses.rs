//! Successful responses: events and pages in the format that the client accepts.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::cloudevents;
use sealbus_core::event::View;
use serde::Serialize;
use serde_json::Value;

/// The JSON format of events in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventFormat {
    /// Sealbus JSON.
    Native,
    /// `CloudEvents`: structured mode for one event, batch mode for a list.
    CloudEvents,
}

impl EventFormat {
    /// Reads the `Accept` header. Returns [`EventFormat::Native`] unless it names a media type of `CloudEvents`.
    pub(crate) fn from_accept(headers: &HeaderMap) -> Self {
        let accepted = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let mut types = accepted.map(|part| part.split(';').next().unwrap_or_default().trim());
        if types.any(|name| name == cloudevents::STRUCTURED || name == cloudevents::BATCH) {
            Self::CloudEvents
        } else {
            Self::Native
        }
    }
}

/// A page of events.
#[derive(Serialize)]
pub(crate) struct EventPage<'a> {
    /// The events, in the order of the list.
    pub events: &'a [View],
    /// The number of events on all pages, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The start of the next page, or `None` on the last page.
    pub next: Option<&'a str>,
}

/// Returns a 200 response with a page of events. A `CloudEvents` batch has no members for `total` and `next`.
pub(crate) fn page(format: EventFormat, page: &EventPage<'_>) -> Response {
    match format {
        EventFormat::Native => json(StatusCode::OK, page),
        EventFormat::CloudEvents => {
            let events: Vec<Value> = page.events.iter().map(cloudevents::to_structured).collect();
            json_of_type(StatusCode::OK, cloudevents::BATCH, &events)
        }
    }
}

/// Returns an `application/json` response.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_of_type(status, "application/json", body)
}

/// Returns a JSON response with the given media type.
pub(crate) fn json_of_type(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("response bodies have only string keys and serialize without errors");
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
}

/// Returns a response with one event.
pub(crate) fn event(status: StatusCode, format: EventFormat, view: &View) -> Response {
    match format {
        EventFormat::Native => json(status, view),
        EventFormat::CloudEvents => json_of_type(status, cloudevents::STRUCTURED, &cloudevents::to_structured(view)),
    }
}

/// Sets a header. A value with characters that no header may contain is dropped.
pub(crate) fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
