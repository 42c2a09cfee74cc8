//! The HTTP interface: `POST /add-checkpoint`.

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

/// What the endpoint works with.
struct App {
    witness: Witness,
    metrics: Metrics,
    room: Arc<Semaphore>,
    body_time: Duration,
    /// Where a folder that cannot be written ends the process.
    failure: mpsc::Sender<FolderError>,
}

/// The router, and what ends the process. `bodies` may be in hand at once, each for as long as `body_time`.
pub(crate) fn router(
    resources: Resources,
    bodies: usize,
    body_time: Duration,
) -> (Router, mpsc::Receiver<FolderError>) {
    let Resources { witness, metrics } = resources;
    let (failure, failures) = mpsc::channel(1);
    let app = App { witness, metrics, room: Arc::new(Semaphore::new(bodies)), body_time, failure };
    app.witness.origins().for_each(|origin| app.count(origin));
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(AddCheckpoint::MAX_BYTES))
        .with_state(Arc::new(app));
    (router, failures)
}

async fn add_checkpoint(State(app): State<Arc<App>>, request: Request) -> Response {
    let response = answer(&app, request).await;
    app.metrics.answered(response.status().as_u16());
    response
}

async fn answer(app: &Arc<App>, request: Request) -> Response {
    let Ok(Ok(place)) = timeout(app.body_time, Arc::clone(&app.room).acquire_owned()).await else {
        let overloaded = "too many requests are in hand\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], overloaded).into_response();
    };
    let body = match timeout(app.body_time, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return refused.into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not come in\n").into_response(),
    };
    // On a thread of its own, and so to its end even if the caller hangs up: the memory has to be what the disk is.
    let working = Arc::clone(app);
    let work = move || {
        let response = working.cosign(&body);
        drop(place);
        response
    };
    match spawn_blocking(work).await {
        Ok(response) => response,
        Err(panicked) => {
            tracing::error!(error = %panicked, "a request was not answered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
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
                tracing::debug!(origin, size, "cosigned");
                self.count(origin);
                line.to_string().into_response()
            }
            Err(NotCosigned::Refused(refusal)) => refused(&refusal),
            Err(NotCosigned::Folder(error)) => {
                tracing::error!(
                    error = error_chain(&error),
                    "the witness cannot remember what it would cosign, and ends"
                );
                // A second failure has nothing to add.
                let _ = self.failure.try_send(error);
                (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot remember what it would cosign\n")
                    .into_response()
            }
        }
    }

    fn count(&self, origin: &str) {
        if let Some(memory) = self.witness.memory(origin) {
            self.metrics.stands(origin, memory.tree.size, memory.time);
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    if let Refusal::Conflict { size } = refusal {
        let content_type = HeaderValue::from_static(SIZE_CONTENT_TYPE);
        return (status, [(header::CONTENT_TYPE, content_type)], encode_size(*size)).into_response();
    }
    (status, format!("{refusal}\n")).into_response()
}
