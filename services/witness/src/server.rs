//! The HTTP server of a witness: `POST /add-checkpoint`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt as _;
use sealbus_core::error_chain;
use sealbus_core::log::witness::{AddCheckpoint, Refusal, SIZE_CONTENT_TYPE, encode_size};
use sealbus_runtime::memory::{Budget, Reservation};
use sealbus_runtime::net::Connection;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::Resources;
use crate::folder::FolderError;
use crate::metrics::Metrics;
use crate::witness::{NotCosigned, Witness};

/// The state of the endpoint.
struct App {
    witness: Witness,
    metrics: Metrics,
    /// The memory for request bodies.
    memory: Budget,
    /// One permit for each request that may be decided at a time.
    permits: Arc<Semaphore>,
    memory_timeout: Duration,
    body_timeout: Duration,
    /// Receives the error of a folder that cannot be written, which ends the process.
    failures: mpsc::Sender<FolderError>,
}

/// Returns the router, and a channel that receives the error of a folder that cannot be written.
pub(crate) fn router(
    resources: Resources,
    memory: Budget,
    memory_timeout: Duration,
    body_timeout: Duration,
    max_decisions: usize,
) -> (Router, mpsc::Receiver<FolderError>) {
    let Resources { witness, metrics } = resources;
    let (sender, receiver) = mpsc::channel(1);
    let permits = Arc::new(Semaphore::new(max_decisions));
    let app = App { witness, metrics, memory, permits, memory_timeout, body_timeout, failures: sender };
    app.witness.origins().for_each(|origin| app.record(origin));
    let router = Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(Arc::new(app));
    (router, receiver)
}

async fn add_checkpoint(State(app): State<Arc<App>>, request: Request) -> Response {
    let response = respond(&app, request).await;
    app.metrics.answered(response.status().as_u16());
    response
}

async fn respond(app: &Arc<App>, request: Request) -> Response {
    let peer =
        request.extensions().get::<Connection>().map(|connection| connection.peer().to_string()).unwrap_or_default();
    let received = match timeout(app.body_timeout, receive(app, &peer, request.into_body())).await {
        Ok(received) => received,
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response()),
    };
    let (body, memory) = match received {
        Ok(received) => received,
        Err(response) => return response,
    };
    // A place is taken only now, so that clients that send slowly take none.
    let Ok(Ok(permit)) = timeout(app.body_timeout, Arc::clone(&app.permits).acquire_owned()).await else {
        return overloaded();
    };
    // The blocking thread runs to its end even if the client disconnects, so that memory and disk stay the same.
    let blocking_app = Arc::clone(app);
    let cosign = move || {
        let response = blocking_app.cosign(&body);
        drop((permit, memory));
        response
    };
    spawn_blocking(cosign).await.unwrap_or_else(|error| {
        tracing::error!(error = %error_chain(&error), "request not answered");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// Returns the answer to a request for which there is no memory or no place.
fn overloaded() -> Response {
    let text = "too many requests at the same time\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], text).into_response()
}

/// Receives a body, and reserves memory for its bytes as they arrive. The addresses of clients share the memory.
///
/// # Errors
/// The answer to a request whose body cannot be received.
async fn receive(app: &App, peer: &str, body: Body) -> Result<(Vec<u8>, Reservation), Response> {
    let mut memory = app.memory.try_reserve(peer, 0).map_err(|_| overloaded())?;
    let (mut chunks, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| (StatusCode::BAD_REQUEST, "the connection ended before the body\n").into_response())?;
        if bytes.len() + chunk.len() > AddCheckpoint::MAX_BYTES {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n").into_response());
        }
        // The buffer is doubled as it grows.
        memory.grow(2 * chunk.len(), app.memory_timeout).await.map_err(|_| overloaded())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, memory))
}

impl App {
    fn cosign(&self, body: &[u8]) -> Response {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(refusal) => return refused(&refusal),
        };
        match self.witness.add_checkpoint(&request) {
            Ok(line) => {
                let (origin, size) = (request.checkpoint().origin(), request.checkpoint().size());
                tracing::debug!(origin, size, "checkpoint cosigned");
                self.record(origin);
                line.to_string().into_response()
            }
            Err(NotCosigned::Refused(refusal)) => refused(&refusal),
            Err(NotCosigned::Folder(error)) => {
                tracing::error!(
                    error = %error_chain(&error),
                    "cannot store a checkpoint, so it is not cosigned and the witness ends; check the disk and restart it"
                );
                // The channel is full if an earlier failure is already ending the process.
                let _ = self.failures.try_send(error);
                (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot store what it would cosign\n").into_response()
            }
        }
    }

    /// Records the last cosignature of a log in the metrics.
    fn record(&self, origin: &str) {
        if let Some(memory) = self.witness.memory(origin) {
            self.metrics.cosigned(origin, memory.tree.size, memory.time);
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).expect("the statuses of refusals are valid");
    if let Refusal::Conflict { size } = refusal {
        let content_type = HeaderValue::from_static(SIZE_CONTENT_TYPE);
        return (status, [(header::CONTENT_TYPE, content_type)], encode_size(*size)).into_response();
    }
    (status, format!("{refusal}\n")).into_response()
}
