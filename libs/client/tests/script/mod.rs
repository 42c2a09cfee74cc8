//! A service that gives the answers it was told to, in order, and remembers what it was asked. For what the client does
//! about failures; against the real service it is tested where that is at hand.

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

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub line: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Response>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub(crate) struct Service {
    pub url: String,
    script: Script,
}

impl Service {
    /// Once the answers are used up, it answers 500.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Response>) -> Self {
        let script = Script { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Script::default() };
        let router = Router::new().fallback(answer).with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().expect("no panic under it").clone()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(config([self.url.as_str()])).expect("a client")
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let line = format!("{} {}", parts.method, parts.uri);
    script.asked.lock().expect("no panic under it").push(Asked { line, headers: parts.headers, body });
    let answer = script.answers.lock().expect("no panic under it").pop_front();
    answer.unwrap_or_else(|| (StatusCode::INTERNAL_SERVER_ERROR, "the script is over").into_response())
}

/// Short pauses, so that no test waits for long, and a patience that only a test of it uses up.
pub(crate) fn config<'a>(urls: impl IntoIterator<Item = &'a str>) -> ClientConfig {
    ClientConfig { pause: Duration::from_millis(1), ..ClientConfig::new(urls, "the-token") }
}

/// A URL where nothing listens.
pub(crate) async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

pub(crate) fn stored(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), body.to_string()).into_response()
}

pub(crate) fn refused(status: u16, code: &str, more: &Value) -> Response {
    let mut problem =
        json!({ "type": "about:blank", "title": "A title", "status": status, "detail": "A detail", "code": code });
    problem.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    stored(status, &problem)
}

/// A body that ends before it is over.
pub(crate) fn cut_off(beginning: &'static str) -> Response {
    let pieces = [Ok(Bytes::from_static(beginning.as_bytes())), Err(std::io::Error::other("cut off"))];
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}

/// An event as the service shows it.
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
