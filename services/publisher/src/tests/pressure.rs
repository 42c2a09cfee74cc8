//! Clients that send or read slowly, or not at all, beside one that behaves well.

use std::time::Duration;

use axum::http::Method;
use sealbus_core::hash::Hash;
use sealbus_runtime::memory::Budget;
use sealbus_testkit::{Postgres, eventually};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::tests::support::{Publisher, TestResponse, create_ledger, send, token_file};

/// A publisher whose appends hang as long as a lock on the events is held.
struct Hanging {
    publisher: Publisher,
    /// The memory for queued calls.
    queued: Budget,
    lock: PgConnection,
    _postgres: Postgres,
}

impl Hanging {
    async fn start(queue_bytes: usize) -> Self {
        let postgres = Postgres::start().await;
        let queued = Budget::new("queued calls", queue_bytes);
        let ledger = create_ledger(&postgres).await;
        let publisher = Publisher::on(ledger, |config| config.memory.queued = queued.clone()).await;
        // A publisher reads events when it starts.
        assert_eq!(publisher.get("/v1/plans", "acme").await.status, 200);
        let mut lock = PgConnection::connect(&postgres.admin_url()).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE sealbus.events").execute(&mut lock).await.unwrap();
        Self { publisher, queued, lock, _postgres: postgres }
    }

    async fn release(&mut self) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.lock).await.unwrap();
    }

    async fn publish(&self, token: &str, name: &str) -> TestResponse {
        let request = self.publisher.request_as(Method::POST, "/v1/plans/p/events", token);
        send(request.json(&event(name))).await
    }
}

/// Returns an event with about 100 KB of data, which begin with `name`.
fn event(name: &str) -> Value {
    json!({ "type": "any.a", "data": name.to_owned() + &"x".repeat(100_000) })
}

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

#[tokio::test]
async fn a_queued_call_whose_caller_has_gone_is_not_appended() {
    let mut hanging = Hanging::start(10 << 20).await;
    let publisher = &hanging.publisher;
    let first = tokio::spawn(publisher.publish_request("p").json(&event("first")).send());
    eventually("the first call is in a batch", async || hanging.queued.reserved() > 0).await;
    let memory_of_one = hanging.queued.reserved();

    // Callers that give up and try again do not pile up in the queue.
    for n in 2..6 {
        let abandoned = tokio::spawn(publisher.publish_request("p").json(&event("abandoned")).send());
        eventually("the call is queued", async || hanging.queued.reserved() > memory_of_one).await;
        abandoned.abort();
        eventually(&format!("call {n} is dropped"), async || hanging.queued.reserved() == memory_of_one).await;
    }

    hanging.release().await;
    assert_eq!(first.await.unwrap().unwrap().status(), 201);
    assert_eq!(hanging.publisher.publish("p", &json!({ "type": "any.last" })).await.body["seq"], 2);
    assert_eq!(hanging.queued.reserved(), 0);
}

#[tokio::test]
async fn calls_beyond_the_memory_for_queued_calls_are_refused_and_those_of_another_tenant_are_not() {
    let mut hanging = Hanging::start(500_000).await;
    let publish = |token: &str| {
        let request = hanging.publisher.request_as(Method::POST, "/v1/plans/p/events", token);
        tokio::spawn(send(request.json(&event("queued"))))
    };
    let mut queued = vec![publish("acme")];
    eventually("the first call is in a batch", async || hanging.queued.reserved() > 0).await;
    let memory_of_one = hanging.queued.reserved();
    queued.push(publish("acme"));
    eventually("the second call is queued", async || hanging.queued.reserved() == 2 * memory_of_one).await;

    let refused = hanging.publish("acme", "refused").await;
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.assert_problem("overloaded")["ids"].as_array().unwrap().len(), 1);

    queued.push(publish("other"));
    eventually("the call of the other tenant is queued", async || hanging.queued.reserved() == 3 * memory_of_one).await;
    hanging.release().await;
    for call in queued {
        assert_eq!(call.await.unwrap().status, 201);
    }
}

/// Publishes 24 events of 250 KB to plan `p` of acme, more than the buffers of a socket take.
async fn publish_large_events(publisher: &Publisher) {
    for _ in 0..2 {
        let events = vec![json!({ "type": "any.a", "data": "x".repeat(250_000) }); 12];
        assert_eq!(publisher.publish("p", &json!(events)).await.status, 201);
    }
}

/// Sends requests for a path on a connection that is never read, and whose socket takes little.
async fn request_unread(publisher: &Publisher, path: &str, count: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let address = publisher.url.trim_start_matches("http://").parse().unwrap();
    let mut connection = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer acme\r\n\r\n");
    connection.write_all(request.repeat(count).as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn clients_that_do_not_read_take_a_bounded_part_of_the_memory_and_leave_the_rest_to_others() {
    const LIMIT: usize = 32 << 20;
    let answers = Budget::new("answers", LIMIT);
    let publisher = Publisher::start_with(|config| config.memory.answers = answers.clone()).await;
    publish_large_events(&publisher).await;
    let mut unread = Vec::new();
    for n in 0..30 {
        let path = ["/v1/plans/p/events", "/v1/plans/p/events/stream?after=0"][n % 2];
        unread.push(request_unread(&publisher, path, 40).await);
    }
    eventually("clients that do not read hold memory", async || answers.reserved() > LIMIT / 4).await;
    for _ in 0..10 {
        let page = publisher.get("/v1/plans", "other").await;
        assert_eq!(page.status, 200, "{page:?}");
        let reserved = answers.reserved();
        assert!(reserved <= LIMIT / 2 + LIMIT / 8, "one token holds {reserved} bytes");
    }
}

#[tokio::test]
async fn a_connection_whose_client_does_not_read_is_closed_and_gives_its_memory_back() {
    let answers = Budget::new("answers", 64 << 20);
    let publisher = Publisher::start_with(|config| {
        config.memory.answers = answers.clone();
        config.connection_limits.write = Duration::from_millis(200);
    })
    .await;
    publish_large_events(&publisher).await;
    let _page = request_unread(&publisher, "/v1/plans/p/events", 40).await;
    let _stream = request_unread(&publisher, "/v1/plans/p/events/stream?after=0", 1).await;
    eventually("the stream is open", async || publisher.metrics().contains("sealbus_publisher_streams 1")).await;
    eventually("the stream has ended", async || publisher.metrics().contains("sealbus_publisher_streams 0")).await;
    eventually("all memory is given back", async || answers.reserved() == 0).await;
}

#[tokio::test]
async fn a_stream_whose_client_does_not_read_ends_when_its_token_is_revoked() {
    let publisher = Publisher::start().await;
    publish_large_events(&publisher).await;
    let _stream = request_unread(&publisher, "/v1/plans/p/events/stream?after=0", 1).await;
    eventually("the stream is open", async || publisher.metrics().contains("sealbus_publisher_streams 1")).await;
    let replaced = token_file().replace(&Hash::of(b"acme").to_string(), &Hash::of(b"replacement").to_string());
    std::fs::write(publisher.token_folder.path().join("tokens.json"), replaced).unwrap();
    eventually("the stream has ended", async || publisher.metrics().contains("sealbus_publisher_streams 0")).await;
}
