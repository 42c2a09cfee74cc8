//! Successful responses: events and pages in the format that the client accepts.

use axum::Json;
use axum::http::{HeaderMap, header};
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
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let parts = accepted.flat_map(|value| value.split(','));
        let mut types = parts.map(|part| part.split(';').next().unwrap_or_default().trim());
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

/// Returns a response with one event.
pub(crate) fn event(format: EventFormat, view: &View) -> Response {
    match format {
        EventFormat::Native => Json(view).into_response(),
        EventFormat::CloudEvents => {
            ([(header::CONTENT_TYPE, cloudevents::STRUCTURED)], Json(cloudevents::to_structured(view))).into_response()
        }
    }
}

/// Returns a response with a page of events. A `CloudEvents` batch has no members for `total` and `next`.
pub(crate) fn page(format: EventFormat, page: &EventPage<'_>) -> Response {
    match format {
        EventFormat::Native => Json(page).into_response(),
        EventFormat::CloudEvents => {
            let events: Vec<Value> = page.events.iter().map(cloudevents::to_structured).collect();
            ([(header::CONTENT_TYPE, cloudevents::BATCH)], Json(events)).into_response()
        }
    }
}
