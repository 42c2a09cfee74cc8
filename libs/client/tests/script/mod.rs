//! A fake service that returns scripted responses in order and records the requests.
//!
//! It tests how the client handles failures. The tests of `sealbus` use the client with the real service.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sealbus_client::{Client, ClientConfig};
use serde_json::{Value, json};

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Method, path and query, such as `GET /v1/plans?limit=2`.
    pub line: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

#[derive(Clone, Default)]
struct Script {
    responses: Arc<Mutex<VecDeque<Response>>>,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

pub(crate) struct Service {
    pub url: String,
    script: Script,
}

impl Service {
    /// Starts a service that returns these responses, and status 500 afterwards.
    pub(crate) async fn start(responses: impl IntoIterator<Item = Response>) -> Self {
        let script = Script { responses: Arc::new(Mutex::new(responses.into_iter().collect())), ..Script::default() };
        let router = Router::new().fallback(respond).with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    /// Returns the requests so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.script.requests.lock().expect("no test panics with the lock").clone()
    }

    /// Returns a client with [`config`] for this service alone.
    pub(crate) fn client(&self) -> Client {
        Client::new(config([self.url.as_str()])).expect("a client")
    }
}

async fn respond(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let line = format!("{} {}", parts.method, parts.uri);
    script.requests.lock().expect("no test panics with the lock").push(Recorded { line, headers: parts.headers, body });
    let response = script.responses.lock().expect("no test panics with the lock").pop_front();
    response.unwrap_or_else(|| (StatusCode::INTERNAL_SERVER_ERROR, "the script is over").into_response())
}

/// A configuration with short pauses and the default retry budget.
pub(crate) fn config<'a>(urls: impl IntoIterator<Item = &'a str>) -> ClientConfig {
    ClientConfig { first_retry_delay: Duration::from_millis(1), ..ClientConfig::new(urls, "the-token") }
}

/// Returns a URL that refuses connections.
pub(crate) async fn unused_url() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// Returns a response with this status and body.
pub(crate) fn response(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), body.to_string()).into_response()
}

/// Returns a refusal with this code. The problem has the members of `more` too.
pub(crate) fn refusal(status: u16, code: &str, more: &Value) -> Response {
    let mut problem =
        json!({ "type": "about:blank", "title": "A title", "status": status, "detail": "A detail", "code": code });
    problem.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    response(status, &problem)
}

/// Returns a response whose connection breaks after the beginning of its body.
pub(crate) fn truncated(beginning: &'static str) -> Response {
    let pieces = [Ok(Bytes::from_static(beginning.as_bytes())), Err(std::io::Error::other("cut off"))];
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}

/// Returns an event as the API shows it.
pub(crate) fn event(plan: &str, seq: u64) -> Value {
    let hash = "ab".repeat(32);
    json!({
        "id": format!("0197f2a0-0000-7000-8000-{seq:012}"), "tenant": "acme", "plan": plan, "seq": seq,
        "type": "payment.settled", "version": 1, "source": null, "actor": "test",
        "occurred_at": "2026-11-20T10:00:00.000000Z", "recorded_at": "2026-11-20T10:00:00.123456Z",
        "correlation_id": null, "causation_id": null, "priority": "normal", "data": null, "metadata": {},
        "seal": { "scheme": "v2", "suite": 2, "kid": "ed25519-0123456789abcdef", "payload_mode": "plain",
                  "payload_size": 4, "payload_hash": hash, "metadata_hash": hash, "prev": hash, "hash": hash, "sig": "00" },
        "log_index": seq + 100
    })
}
