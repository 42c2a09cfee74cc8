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

/// Longer than anything here takes in health.
const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(50);

/// A server whose `/slow` says that it was called and answers when it may.
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

    /// Opens a connection and says something on it.
    async fn say(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(text.as_bytes()).await.expect("said");
        stream
    }

    async fn ended(self) {
        timeout(LONG, self.task).await.expect("it ends").expect("no panic");
    }
}

/// All that comes until the server closes the connection.
async fn heard(mut stream: TcpStream) -> String {
    let mut text = String::new();
    timeout(LONG, stream.read_to_string(&mut text)).await.expect("the server closes it").expect("without a fault");
    text
}

#[tokio::test]
async fn a_caller_who_never_ends_its_headers_is_hung_up_on() {
    let server = Server::start(ConnectionTimeouts { headers: SHORT, drain: LONG }).await;
    let slow = server.say("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    server.called.notified().await;
    for text in ["", "GET / HTTP/1.1\r\nHost: a\r\nX-Half: "] {
        assert_eq!(heard(server.say(text).await).await, "", "{text:?}");
    }
    // One who was answered may ask again, and is hung up on when it does not.
    let idle = heard(server.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await).await;
    assert!(idle.starts_with("HTTP/1.1 200") && idle.ends_with("at once"), "{idle}");
    // One who has asked is answered, however long that takes.
    server.may_answer.add_permits(1);
    assert!(heard(slow).await.ends_with("late"));
}

#[tokio::test]
async fn calls_under_way_are_answered_before_the_end() {
    let server = Server::start(ConnectionTimeouts { headers: LONG, drain: LONG }).await;
    let slow = server.say("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.called.notified().await;
    server.shutdown.cancel();
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(LONG, refused).await.expect("no connection is taken any more");
    server.may_answer.add_permits(1);
    assert!(heard(slow).await.ends_with("late"), "and the connection is closed, though nobody asked for it");
    server.ended().await;
}

#[tokio::test]
async fn calls_that_do_not_end_are_cut_off() {
    let server = Server::start(ConnectionTimeouts { headers: LONG, drain: SHORT }).await;
    let slow = server.say("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.called.notified().await;
    server.shutdown.cancel();
    assert_eq!(heard(slow).await, "");
    server.ended().await;
}
