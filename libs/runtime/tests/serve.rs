//! The HTTP server, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use sealbus_runtime::net::{ConnectionTimeouts, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than any step takes when nothing is wrong.
const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(50);

/// A server whose path `/slow` signals that it was called, and answers when it is permitted to.
struct Server {
    address: SocketAddr,
    called: Arc<Notify>,
    may_answer: Arc<Semaphore>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(timeouts: ConnectionTimeouts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (called, may_answer) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let (call, answer) = (Arc::clone(&called), Arc::clone(&may_answer));
        let slow = async move || {
            call.notify_one();
            answer.acquire().await.expect("never closed").forget();
            "late"
        };
        let router = Router::new().route("/", get(async || "at once")).route("/slow", get(slow));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, timeouts, shutdown.clone()));
        Self { address, called, may_answer, shutdown, task }
    }

    /// Opens a connection and sends a text on it.
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    async fn ended(self) {
        timeout(LONG, self.task).await.expect("it ends").expect("no panic");
    }
}

/// Reads until the server closes the connection.
async fn received(mut stream: TcpStream) -> String {
    let mut text = String::new();
    timeout(LONG, stream.read_to_string(&mut text))
        .await
        .expect("the server closes it")
        .expect("the connection is not broken");
    text
}

#[tokio::test]
async fn a_connection_without_complete_headers_is_closed() {
    let server = Server::start(ConnectionTimeouts { headers: SHORT, drain: LONG }).await;
    let slow = server.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    server.called.notified().await;
    for text in ["", "GET / HTTP/1.1\r\nHost: a\r\nX-Half: "] {
        assert_eq!(received(server.send(text).await).await, "", "{text:?}");
    }
    // A connection stays open after an answer, and is closed when no further request arrives.
    let idle = received(server.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await).await;
    assert!(idle.starts_with("HTTP/1.1 200") && idle.ends_with("at once"), "{idle}");
    // A complete request is answered, however long that takes.
    server.may_answer.add_permits(1);
    assert!(received(slow).await.ends_with("late"));
}

#[tokio::test]
async fn calls_in_flight_are_answered_before_the_server_ends() {
    let server = Server::start(ConnectionTimeouts { headers: LONG, drain: LONG }).await;
    let slow = server.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.called.notified().await;
    server.shutdown.cancel();
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(LONG, refused).await.expect("new connections are refused");
    server.may_answer.add_permits(1);
    assert!(received(slow).await.ends_with("late"), "the call is answered and the connection closed");
    server.ended().await;
}

#[tokio::test]
async fn calls_that_exceed_the_drain_time_are_cut_off() {
    let server = Server::start(ConnectionTimeouts { headers: LONG, drain: SHORT }).await;
    let slow = server.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.called.notified().await;
    server.shutdown.cancel();
    assert_eq!(received(slow).await, "");
    server.ended().await;
}
