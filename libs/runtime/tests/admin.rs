//! The admin listener, over a real socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::registry::Registry;
use reqwest::{Client, StatusCode};
use sealbus_runtime::admin::{self, Health};
use sealbus_runtime::telemetry::metrics;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

struct Admin {
    url: String,
    health: Arc<Health>,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

fn health() -> Health {
    Health::new(Duration::from_secs(2), CancellationToken::new())
}

async fn serve(health: Health, registry: Registry) -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (health, shutdown) = (Arc::new(health), CancellationToken::new());
    let router = admin::router(Arc::clone(&health), Arc::new(registry));
    let server = tokio::spawn(admin::serve(listener, router, shutdown.clone()));
    Admin { url, health, shutdown, server }
}

impl Admin {
    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = Client::new().get(format!("{}{path}", self.url)).send().await.expect("answered");
        (response.status(), response.json().await.expect("JSON"))
    }
}

#[tokio::test]
async fn an_unreachable_ledger_fails_readiness_but_not_liveness() {
    let reachable = Arc::new(AtomicBool::new(false));
    let checked = Arc::clone(&reachable);
    let database = move || {
        let answer = if checked.load(Ordering::Relaxed) { Ok(()) } else { Err("unreachable".to_owned()) };
        async move { answer }
    };
    let admin = serve(health().with_required("database", database), Registry::default()).await;

    assert_eq!(admin.get("/startupz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    admin.health.started();
    assert_eq!(admin.get("/startupz").await.0, StatusCode::OK);
    for path in ["/readyz", "/health/ready"] {
        let expected = json!({ "status": "not ready", "checks": { "database": "unreachable" } });
        assert_eq!(admin.get(path).await, (StatusCode::SERVICE_UNAVAILABLE, expected));
    }
    for path in ["/livez", "/health"] {
        assert_eq!(admin.get(path).await, (StatusCode::OK, json!({ "status": "alive" })));
    }

    reachable.store(true, Ordering::Relaxed);
    let ready = (StatusCode::OK, json!({ "status": "ready", "checks": { "database": "ok" } }));
    let until_ready = async { while admin.get("/readyz").await != ready {} };
    tokio::time::timeout(Duration::from_mins(1), until_ready).await.expect("ready once the ledger is reachable");
}

#[tokio::test]
async fn metrics_are_served_as_open_metrics() {
    let admin = serve(health(), metrics::registry()).await;
    let response = Client::new().get(format!("{}/metrics", admin.url)).send().await.expect("answered");
    assert_eq!(response.headers()["content-type"], metrics::CONTENT_TYPE);
    let text = response.text().await.expect("text");
    assert!(text.contains("process_resident_memory_bytes ") && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn a_silent_connection_does_not_delay_the_shutdown() {
    let admin = serve(health(), Registry::default()).await;
    let address = admin.url.trim_start_matches("http://");
    let silent = TcpStream::connect(address).await.expect("connected");
    assert_eq!(admin.get("/livez").await.0, StatusCode::OK);
    admin.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(30), admin.server).await.expect("it ends");
    ended.expect("no panic");
    drop(silent);
}
