//! The router: the endpoints, the probes, and the layers around them.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use sealbus_core::error::ErrorKind;
use sealbus_runtime::admin::{Health, health_routes};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::app::App;
use crate::endpoints::table;
use crate::http::Problem;
use crate::metrics::Metrics;

/// Returns the router of the API and the probes. Every error response is a problem, including those of the router itself
/// and those after a panic.
pub(crate) fn router(app: Arc<App>, health: Arc<Health>) -> Router {
    let routes = table().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    let metrics = app.metrics.clone();
    routes
        .with_state(app)
        .merge(health_routes(health))
        .fallback(async || Problem::new(ErrorKind::NotFound, "the API has no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(ErrorKind::MethodNotAllowed, "the path does not support this method")
        })
        .layer(CatchPanicLayer::custom(panic_response))
        .layer(from_fn(set_security_headers))
        .layer(from_fn_with_state(metrics, observe))
}

/// Records the request's metrics, and runs it in a span, so that log lines about it name its method and path.
async fn observe(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!("request", %method, path = request.uri().path());
    let response = next.run(request).instrument(span).await;
    let status = response.status().as_u16();
    metrics.answered(&method, route.as_ref().map(MatchedPath::as_str), status, start.elapsed());
    if let Some(kind) = response.extensions().get::<ErrorKind>() {
        metrics.refused(*kind);
    }
    response
}

/// Sets `X-Content-Type-Options: nosniff` on every response, and `Cache-Control: no-store` unless the handler set its own.
async fn set_security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer passes the panic by value")]
fn panic_response(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("no message"), "a handler panicked");
    Problem::new(ErrorKind::Internal, "internal error; see the publisher's log").into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::Method;
    use axum::routing::get;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::tests::support::{Publisher, send};

    const METHODS: [Method; 6] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];

    /// Returns a path for each route of the table.
    fn paths() -> Vec<String> {
        let id = "0197f2a1-0000-7000-8000-000000000001";
        table()
            .into_iter()
            .map(|(path, _)| path.replace("{plan}", "p").replace("{id}", id).replace("{*path}", "0/000"))
            .collect()
    }

    #[tokio::test]
    async fn every_route_of_the_api_requires_a_valid_token() {
        let publisher = Publisher::start().await;
        assert!(paths().len() >= 10);
        let mut unauthenticated = 0;
        for path in paths() {
            for method in METHODS {
                for authorization in ["", "Bearer", "Bearer ", "Bearer nobody", "Bearer expired", "Basic YWNtZTphY21l"]
                {
                    let request = publisher.request(method.clone(), &path).header("authorization", authorization);
                    let refused = send(request.body("{}")).await;
                    assert!(matches!(refused.status, 401 | 405), "{method} {path} {authorization:?}: {refused:?}");
                    unauthenticated += usize::from(refused.status == 401);
                    if refused.status == 401 && method != Method::HEAD {
                        assert_eq!(refused.header("www-authenticate"), "Bearer");
                        refused.assert_problem("unauthenticated");
                    }
                }
                let without_header = send(publisher.request(method.clone(), &path)).await;
                assert!(without_header.status >= 401, "{method} {path}: {without_header:?}");
            }
        }
        assert!(
            unauthenticated >= 6 * 2 * 10,
            "only {unauthenticated} requests were refused for their token; at least GET and HEAD of every path should be"
        );
    }

    #[tokio::test]
    async fn probes_require_no_token() {
        let publisher = Publisher::start().await;
        for path in ["/health", "/livez", "/readyz", "/health/ready", "/startupz"] {
            assert_eq!(send(publisher.request(Method::GET, path)).await.status, 200, "{path}");
        }
        send(publisher.request(Method::GET, "/metrics")).await.assert_problem("not_found");
    }

    #[tokio::test]
    async fn errors_of_the_router_are_problems() {
        let publisher = Publisher::start().await;
        publisher.get("/", "acme").await.assert_problem("not_found");
        publisher.get("/v1/nothing", "acme").await.assert_problem("not_found");
        publisher.get("/v1/plans/p/events/", "acme").await.assert_problem("not_found");
        let refused = send(publisher.request_as(Method::DELETE, "/v1/plans/p/events", "acme")).await;
        let allowed = refused.header("allow").to_owned();
        assert!(allowed.contains("GET") && allowed.contains("POST"), "{refused:?}");
        refused.assert_problem("method_not_allowed");
        send(publisher.request_as(Method::POST, "/health", "acme")).await.assert_problem("method_not_allowed");
        publisher.get("/v1/plans?%ff=%ff&limit", "acme").await.assert_problem("invalid_field");
    }

    #[tokio::test]
    async fn a_connection_without_complete_headers_is_closed_and_a_stream_is_not() {
        let publisher =
            Publisher::start_with(|config| config.connection_limits.headers = Duration::from_millis(50)).await;
        let mut stream = publisher.stream("/v1/events/stream", "acme", None).await;

        // Send half of the headers. The server closes the connection without a response.
        let mut connection = TcpStream::connect(publisher.url.trim_start_matches("http://")).await.unwrap();
        connection.write_all(b"POST /v1/plans/p/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ac").await.unwrap();
        let mut received = Vec::new();
        let closed = timeout(Duration::from_mins(1), connection.read_to_end(&mut received)).await;
        closed.expect("the connection was not closed").unwrap();
        assert_eq!(received, b"");

        // The stream, which takes longer than that, is still open.
        assert_eq!(stream.next_block().await.unwrap(), ": still here");
    }

    #[tokio::test]
    async fn a_panic_is_answered_with_a_problem_that_does_not_contain_its_message() {
        async fn panics() -> &'static str {
            panic!("a secret of the handler")
        }
        let router: Router = Router::new().route("/", get(panics)).layer(CatchPanicLayer::custom(panic_response));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        let response = reqwest::get(url).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (500, &HeaderValue::from_static("application/problem+json"))
        );
        let text = response.text().await.unwrap();
        assert!(text.contains("\"internal\"") && !text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn requests_events_and_refusals_are_counted() {
        let publisher = Publisher::start().await;
        publisher
            .publish("p", &json!([{ "type": "any.a" }, { "type": "payment.settled", "data": { "amount": "1" } }]))
            .await;
        publisher.publish("p", &json!({ "type": "no.such" })).await;
        publisher.get("/v1/plans/p/events", "nobody").await;
        let metrics = publisher.metrics();
        for line in [
            r#"sealbus_publisher_requests_total{method="POST",route="/v1/plans/{plan}/events",status="2xx"} 1"#,
            r#"sealbus_publisher_requests_total{method="POST",route="/v1/plans/{plan}/events",status="4xx"} 1"#,
            r#"sealbus_publisher_events_published_total{channel="own"} 1"#,
            r#"sealbus_publisher_events_published_total{channel="settlement"} 1"#,
            r#"sealbus_publisher_refused_total{code="unknown_event_type"} 1"#,
            r#"sealbus_publisher_refused_total{code="unauthenticated"} 1"#,
            r#"sealbus_publisher_request_seconds_count{method="GET",route="/v1/plans/{plan}/events"} 1"#,
            "sealbus_publisher_call_events_sum 2.0",
            "sealbus_publisher_streams 0",
        ] {
            assert!(metrics.contains(line), "the metrics lack {line}\n{metrics}");
        }
    }
}
