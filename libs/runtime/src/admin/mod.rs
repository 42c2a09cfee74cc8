//! Health probes and metrics, for Kubernetes, load balancers, deploy gates and Prometheus.
//!
//! | path | answer |
//! |---|---|
//! | `/livez`, `/health` | 200 while the process answers; an unreachable ledger must not cause a restart |
//! | `/startupz` | 503 until [`Health::started`], then 200 |
//! | `/readyz`, `/health/ready` | 200 or 503, with the result of each check of [`Health`] |
//! | `/metrics` | the metrics of the process, on the admin listener only |

mod health;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::health::Health;
use crate::net::{self, ConnectionLimits};
use crate::telemetry::metrics;

/// A probe sends its request at once and needs no connection between two requests. A silent connection must not delay the end
/// of the process.
const LIMITS: ConnectionLimits = ConnectionLimits {
    headers: Duration::from_secs(30),
    write: Duration::from_secs(30),
    drain: Duration::from_secs(1),
    first_request: net::FIRST_REQUEST,
    connections: 64,
};

/// Returns the routes of the probes, for the admin listener and for the publisher's API. They require no token and reveal nothing
/// confidential.
pub fn health_routes(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/health", get(alive))
        .route("/startupz", get(startup))
        .route("/readyz", get(readiness))
        .route("/health/ready", get(readiness))
        .with_state(health)
}

/// Returns all routes of the admin listener.
pub fn router(health: Arc<Health>, registry: Arc<Registry>) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics_text)).with_state(registry);
    health_routes(health).merge(metrics)
}

/// Serves `router` until `shutdown` fires. The task belongs to [`Stage::Health`](crate::lifecycle::Stage::Health).
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    net::serve(listener, router, LIMITS, shutdown).await;
}

async fn alive() -> Response {
    answer(true, serde_json::json!({ "status": "alive" }))
}

async fn startup(State(health): State<Arc<Health>>) -> Response {
    let started = health.has_started();
    answer(started, serde_json::json!({ "status": if started { "started" } else { "starting" } }))
}

async fn readiness(State(health): State<Arc<Health>>) -> Response {
    let report = health.report().await;
    let word = if report.ready { "ready" } else { "not ready" };
    answer(report.ready, serde_json::json!({ "status": word, "checks": report.checks }))
}

async fn metrics_text(State(registry): State<Arc<Registry>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::exposition(&registry)).into_response()
}

/// Answers a probe: 200 if it is positive, otherwise 503.
fn answer(positive: bool, body: serde_json::Value) -> Response {
    let status = if positive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
