//! The router: the endpoints' table, and what surrounds every one of them.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use sealbus_core::error::ErrorKind;
use sealbus_runtime::admin::{Health, health_routes};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::endpoints::table;
use crate::problem::Problem;

/// The API with the probes beside it. Every answer that is no success is a problem, the router's own and a panic's too.
pub fn router(app: Arc<App>, health: Arc<Health>) -> Router {
    let routes = table().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routes
        .with_state(Arc::clone(&app))
        .merge(health_routes(health))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app, around))
}

/// Counts the request, and says of every answer that it is nobody's to keep or to reinterpret.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    app.metrics.answered(&method, route.as_ref().map(MatchedPath::as_str), status, began.elapsed());
    if let Some(kind) = response.extensions().get::<ErrorKind>() {
        app.metrics.refused(*kind);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn no_such_path() -> Problem {
    Problem::new(ErrorKind::NotFound, "the API has no such path")
}

async fn no_such_method() -> Problem {
    Problem::new(ErrorKind::MethodNotAllowed, "the path does not know this method")
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = message.as_deref().unwrap_or("no message"), "a handler panicked");
    Problem::new(ErrorKind::Internal, "a fault of Sealbus; the log says more").into_response()
}
