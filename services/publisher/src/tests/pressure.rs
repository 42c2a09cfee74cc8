//! Clients that send or read slowly, or not at all, beside one that behaves well.

use axum::http::Method;
use sealbus_runtime::memory::Budget;
use sealbus_testkit::{Postgres, eventually};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::tests::support::{Publisher, create_ledger, send};

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
        let mut lock = PgConnection::connect(&postgres.admin_url()).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE sealbus.events").execute(&mut lock).await.unwrap();
        Self { publisher, queued, lock, _postgres: postgres }
    }

    async fn release(&mut self) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.lock).await.unwrap();
    }

    async fn publish(&self, token: &str, name: &str) -> crate::tests::support::TestResponse {
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
    for n in 2..10 {
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
