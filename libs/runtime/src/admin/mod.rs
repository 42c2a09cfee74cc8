//! What a process tells Kubernetes, a load balancer, a deploy gate and Prometheus.
//!
//! | path | answer |
//! |---|---|
//! | `/livez`, `/health` | 200 as long as the process answers at all: a ledger that is away must not get it killed |
//! | `/startupz` | 503 until [`Health::started`], then 200 |
//! | `/readyz`, `/health/ready` | 200 or 503, with what each check says: [`Health`] |
//! | `/metrics` | the numbers of the process, on the admin listener only |

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

pub use self::health::{Health, Report};
use crate::net::{self, ConnectionTimeouts};
use crate::telemetry::metrics;

/// A probe sends its request at once and needs no connection between two requests. A silent connection must not delay the end
/// of the process.
const TIMEOUTS: ConnectionTimeouts =
    ConnectionTimeouts { headers: Duration::from_secs(30), drain: Duration::from_secs(1) };

/// The probes, for the admin listener, and for the publisher's own beside its API. They ask for no token, and say
/// nothing that would need one.
pub fn health_routes(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(alive))
        .route("/health", get(alive))
        .route("/startupz", get(startup))
        .route("/readyz", get(readiness))
        .route("/health/ready", get(readiness))
        .with_state(health)
}

/// Everything that the admin listener serves.
pub fn router(health: Arc<Health>, registry: Arc<Registry>) -> Router {
    let numbers = Router::new().route("/metrics", get(numbers)).with_state(registry);
    health_routes(health).merge(numbers)
}

/// Serves `router` until `shutdown` fires. Belongs to [`Stage::Health`](crate::lifecycle::Stage::Health).
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    net::serve(listener, router, TIMEOUTS, shutdown).await;
}

async fn alive() -> Response {
    answer(StatusCode::OK, serde_json::json!({ "status": "alive" }))
}

async fn startup(State(health): State<Arc<Health>>) -> Response {
    if health.has_started() {
        answer(StatusCode::OK, serde_json::json!({ "status": "started" }))
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, serde_json::json!({ "status": "starting" }))
    }
}

async fn readiness(State(health): State<Arc<Health>>) -> Response {
    let report = health.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if report.ready { "ready" } else { "not ready" };
    answer(status, serde_json::json!({ "status": word, "checks": report.checks }))
}

async fn numbers(State(registry): State<Arc<Registry>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::exposition(&registry)).into_response()
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
