//! Successful responses: events and pages in the format that the client accepts.

use axum::http::HeaderMap;
use axum::response::Response;
use sealbus_core::cloudevents;
use sealbus_core::event::View;
use sealbus_runtime::memory::Reservation;
use serde::Serialize;

use super::accept::preferred;
use super::memory::{JSON, held, held_json};
use super::problem::Problem;

/// The JSON format of events in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventFormat {
    /// Sealbus JSON.
    Native,
    /// `CloudEvents`: structured mode for one event, batch mode for a list.
    CloudEvents,
}

impl EventFormat {
    /// Returns the format in which the client prefers one event.
    ///
    /// # Errors
    /// `not_acceptable` if it accepts neither.
    pub(crate) fn of_event(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::preferred(headers, cloudevents::STRUCTURED)
    }

    /// Returns the format in which the client prefers a page of events.
    ///
    /// # Errors
    /// `not_acceptable` if it accepts neither.
    pub(crate) fn of_page(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::preferred(headers, cloudevents::BATCH)
    }

    fn preferred(headers: &HeaderMap, cloudevents: &'static str) -> Result<Self, Problem> {
        let preferred = preferred(headers, &["application/json", cloudevents])?;
        Ok(if preferred == cloudevents { Self::CloudEvents } else { Self::Native })
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
pub(crate) fn event(format: EventFormat, view: &View, memory: Reservation) -> Response {
    match format {
        EventFormat::Native => held_json(JSON, view, memory),
        EventFormat::CloudEvents => {
            held(cloudevents::STRUCTURED, cloudevents::to_structured(view, &[]).into_string().into_bytes(), memory)
        }
    }
}

/// Returns a response with a page of events. A `CloudEvents` batch has no members for `total` and `next`.
pub(crate) fn page(format: EventFormat, page: &EventPage<'_>, memory: Reservation) -> Response {
    match format {
        EventFormat::Native => held_json(JSON, page, memory),
        EventFormat::CloudEvents => {
            let mut batch = "[".to_owned();
            for (place, view) in page.events.iter().enumerate() {
                if place > 0 {
                    batch.push(',');
                }
                batch.push_str(cloudevents::to_structured(view, &[]).as_str());
            }
            batch.push(']');
            held(cloudevents::BATCH, batch.into_bytes(), memory)
        }
    }
}
