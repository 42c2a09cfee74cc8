//! Clients that send or read slowly, or not at all, beside one that behaves well.

use axum::http::Method;
use sealbus_testkit::eventually;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::tests::support::{Publisher, send};

/// Opens a connection and sends text on it.
async fn send_text(publisher: &Publisher, text: &str) -> TcpStream {
    let mut connection = TcpStream::connect(publisher.url.trim_start_matches("http://")).await.unwrap();
    connection.write_all(text.as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn slow_bodies_of_one_token_do_not_affect_the_calls_of_another() {
    let publisher = Publisher::start().await;
    let mut slow = Vec::new();
    for framing in ["Content-Length: 4194304\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let head = "POST /v1/plans/p/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer acme\r\n";
        for _ in 0..50 {
            slow.push(send_text(&publisher, &format!("{head}{framing}")).await);
        }
    }
    eventually("all slow bodies are being received", async || {
        publisher.metrics().contains("sealbus_publisher_bodies 100")
    })
    .await;
    for n in 1..=20 {
        let body = json!({ "type": "any.a", "data": "x".repeat(100_000) });
        let stored = send(publisher.request_as(Method::POST, "/v1/plans/p/events", "other").json(&body)).await;
        assert_eq!((stored.status, &stored.body["seq"]), (201, &json!(n)), "{:?}", stored.body["detail"]);
    }
}
