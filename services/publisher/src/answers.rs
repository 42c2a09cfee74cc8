//! Events as answers, in the form that the caller accepts.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::cloudevents;
use sealbus_core::event::Record;
use serde_json::Value;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Sealbus' own JSON.
    Own,
    /// CloudEvents: structured, or batch for a list.
    CloudEvents,
}

impl Form {
    /// What `Accept` asks for; our own where it does not name CloudEvents.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let asked = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let mut types = asked.map(|part| part.split(';').next().unwrap_or_default().trim());
        if types.any(|name| name == cloudevents::STRUCTURED || name == cloudevents::BATCH) {
            Form::CloudEvents
        } else {
            Form::Own
        }
    }

    /// An event.
    pub fn one(self, record: &Record) -> Value {
        match self {
            Form::Own => record.to_json(),
            Form::CloudEvents => cloudevents::to_structured(record),
        }
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &Value) -> Response {
    typed(status, "application/json", body)
}

/// A JSON answer of a media type.
pub fn typed(status: StatusCode, media_type: &'static str, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body.to_string()).into_response()
}

/// One event.
pub fn event(status: StatusCode, form: Form, record: &Record) -> Response {
    let media_type = match form {
        Form::Own => "application/json",
        Form::CloudEvents => cloudevents::STRUCTURED,
    };
    typed(status, media_type, &form.one(record))
}

/// Adds a header; a value that no header can hold is left out.
pub fn with_header(mut response: Response, name: header::HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
