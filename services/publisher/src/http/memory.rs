//! Memory that a call or its answer holds until the client has received the answer.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::metrics::gauge::Gauge;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_runtime::memory::{Budget, Reservation};
use serde::Serialize;

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";

/// How long a call waits for memory before it is refused as `overloaded`.
pub(super) const WAIT_FOR_MEMORY: Duration = Duration::from_secs(2);

/// The memory for what is read for clients and written to them. Tokens share it.
#[derive(Clone, Debug)]
pub(crate) struct AnswerMemory(Budget);

impl AnswerMemory {
    /// Uses a budget.
    pub(crate) fn new(budget: Budget) -> Self {
        Self(budget)
    }

    /// Reserves memory for an answer to a client whose token has this name, before what it contains is read.
    ///
    /// # Errors
    /// `overloaded` if the memory stays exhausted for two seconds.
    pub(crate) async fn reserve(&self, token: &str, bytes: usize) -> Result<Reservation, Refused> {
        self.0.reserve(token, bytes, WAIT_FOR_MEMORY).await.map_err(|_| {
            let detail = "there is no memory for further answers; read those that were sent, or retry later";
            Refused::new(ErrorKind::Overloaded, detail)
        })
    }
}

/// One of the things that a gauge counts. Dropping it decrements the gauge.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    /// Increments the gauge.
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Bytes of an answer, and the memory for them.
struct Held {
    bytes: Vec<u8>,
    _memory: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns bytes that hold as much of `memory` as they need until they are written to the client, or the connection ends.
pub(crate) fn held_bytes(bytes: Vec<u8>, mut memory: Reservation) -> Bytes {
    memory.shrink_to(bytes.capacity());
    Bytes::from_owner(Held { bytes, _memory: memory })
}

/// Returns a response with the JSON text of a value, which holds as much of `memory` as it needs until it is written.
pub(crate) fn held_json(content_type: &'static str, value: &impl Serialize, memory: Reservation) -> Response {
    let json = serde_json::to_vec(value).expect("all members of an answer have a JSON form");
    held(content_type, json, memory)
}

/// Returns a response with these bytes, which hold as much of `memory` as they need until they are written.
pub(crate) fn held(content_type: &'static str, bytes: Vec<u8>, memory: Reservation) -> Response {
    ([(header::CONTENT_TYPE, content_type)], Body::from(held_bytes(bytes, memory))).into_response()
}
