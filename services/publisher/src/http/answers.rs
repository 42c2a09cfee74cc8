//! Events as answers, in the form that the caller accepts.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::cloudevents;
use sealbus_core::event::View;
use serde::Serialize;
use serde_json::Value;

use crate::publish::sealed::Receipted;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Sealbus' own JSON.
    Own,
    /// CloudEvents: structured, or batch for a list.
    CloudEvents,
}

impl Form {
    /// What `Accept` asks for; our own where it does not name CloudEvents.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let asked = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let mut types = asked.map(|part| part.split(';').next().unwrap_or_default().trim());
        if types.any(|name| name == cloudevents::STRUCTURED || name == cloudevents::BATCH) {
            Self::CloudEvents
        } else {
            Self::Own
        }
    }
}

/// A page of events.
#[derive(Serialize)]
pub(crate) struct Page<'a> {
    /// In order.
    pub events: &'a [View],
    /// Events on all pages, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Where the next page begins.
    pub next: Option<&'a str>,
}

/// A page of events, in the form accepted; CloudEvents' batch has no room for the rest.
pub(crate) fn page(form: Form, page: &Page<'_>) -> Response {
    match form {
        Form::Own => json(StatusCode::OK, page),
        Form::CloudEvents => {
            let events: Vec<Value> = page.events.iter().map(cloudevents::to_structured).collect();
            typed(StatusCode::OK, cloudevents::BATCH, &events)
        }
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    typed(status, "application/json", body)
}

/// A JSON answer of a media type.
pub(crate) fn typed(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("answers are made of values that have JSON forms");
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
}

/// One event.
pub(crate) fn event(status: StatusCode, form: Form, view: &View) -> Response {
    match form {
        Form::Own => json(status, view),
        Form::CloudEvents => typed(status, cloudevents::STRUCTURED, &cloudevents::to_structured(view)),
    }
}

/// One event with its receipt. As a `CloudEvent` it has two attributes more, of which the receipt is a text.
pub(crate) fn receipted(status: StatusCode, form: Form, event: &Receipted) -> Response {
    if form == Form::Own {
        return json(status, event);
    }
    let mut shown = cloudevents::to_structured(&event.view);
    shown["sealbussealed"] = Value::from(event.sealed);
    shown["sealbusreceipt"] = Value::from(event.receipt.get());
    typed(status, cloudevents::STRUCTURED, &shown)
}

/// Says of an answer to a call that waited whether all of its events are sealed.
pub(crate) fn with_sealed(response: Response, sealed: bool) -> Response {
    with_header(response, HeaderName::from_static("sealbus-sealed"), if sealed { "true" } else { "false" })
}

/// Adds a header; a value that no header can hold is left out.
pub(crate) fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
