//! The HTTP server of a witness: `POST /add-checkpoint`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use sealbus_core::error_chain;
use sealbus_core::log::witness::{AddCheckpoint, Refusal, SIZE_CONTENT_TYPE, encode_size};
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
    /// One permit for each body that may be in memory.
    body_permits: Arc<Semaphore>,
    body_timeout: Duration,
    /// Receives the error of a folder that cannot be written, which ends the process.
    failures: mpsc::Sender<FolderError>,
}

/// Returns the router, and a channel that receives the error of a folder that cannot be written.
pub(crate) fn router(
    resources: Resources,
    max_bodies: usize,
    body_timeout: Duration,
) -> (Router, mpsc::Receiver<FolderError>) {
    let Resources { witness, metrics } = resources;
    let (sender, receiver) = mpsc::channel(1);
    let body_permits = Arc::new(Semaphore::new(max_bodies));
    let app = App { witness, metrics, body_permits, body_timeout, failures: sender };
    app.witness.origins().for_each(|origin| app.record(origin));
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(AddCheckpoint::MAX_BYTES))
        .with_state(Arc::new(app));
    (router, receiver)
}

async fn add_checkpoint(State(app): State<Arc<App>>, request: Request) -> Response {
    let response = respond(&app, request).await;
    app.metrics.answered(response.status().as_u16());
    response
}

async fn respond(app: &Arc<App>, request: Request) -> Response {
    let Ok(Ok(permit)) = timeout(app.body_timeout, Arc::clone(&app.body_permits).acquire_owned()).await else {
        let overloaded = "too many requests at the same time\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], overloaded).into_response();
    };
    let body = match timeout(app.body_timeout, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) => return rejection.into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response(),
    };
    // The blocking thread runs to its end even if the client disconnects, so that memory and disk stay the same.
    let blocking_app = Arc::clone(app);
    let cosign = move || {
        let response = blocking_app.cosign(&body);
        drop(permit);
        response
    };
    spawn_blocking(cosign).await.unwrap_or_else(|error| {
        tracing::error!(error = %error_chain(&error), "request not answered");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
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
