//! The HTTP server, over real sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use futures::{StreamExt as _, stream};
use sealbus_runtime::net::{Connection, ConnectionLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than any step takes when nothing is wrong.
const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(50);
/// Limits that no test reaches.
const LIMITS: ConnectionLimits =
    ConnectionLimits { headers: LONG, write: LONG, drain: LONG, first_request: Duration::ZERO, connections: 100 };

/// Another address than that of most callers.
const OTHER: &str = "127.0.0.2:0";

/// The bytes of an answer that no socket takes at once.
const LARGE: usize = 64 << 20;

/// A server whose path `/slow` signals that it was called, and answers when it is permitted to. `/large` answers with [`LARGE`]
/// bytes, `/endless` never stops sending, and `/closes` sends and then closes its connection from outside.
struct Server {
    address: SocketAddr,
    called: Arc<Notify>,
    may_answer: Arc<Semaphore>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (called, may_answer) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let (call, answer) = (Arc::clone(&called), Arc::clone(&may_answer));
        let slow = async move || {
            call.notify_one();
            answer.acquire().await.expect("never closed").forget();
            "late"
        };
        let endless = || Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 16 * 1024])));
        let closes = async move |Extension(connection): Extension<Connection>| {
            let close = stream::once(async move {
                connection.close();
                Ok(vec![b'x'])
            });
            Body::from_stream(close.chain(stream::pending::<Result<_, Infallible>>()))
        };
        let router = Router::new()
            .route("/", get(async || "at once"))
            .route("/slow", get(slow))
            .route("/large", get(async || vec![b'x'; LARGE]))
            .route("/endless", get(async move || endless()))
            .route("/closes", get(closes));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
        Self { address, called, may_answer, shutdown, task }
    }

    /// Opens a connection and sends a text on it.
    async fn send(&self, text: &str) -> TcpStream {
        self.send_from("127.0.0.1:0", text).await
    }

    /// Opens a connection from this address. On Linux all of 127.0.0.0/8 are addresses of this machine.
    async fn send_from(&self, source: &str, text: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(source.parse().expect("an address")).expect("an address of this machine");
        let mut stream = socket.connect(self.address).await.expect("connected");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    /// Opens connections that send nothing, and then one whose request is answered although there are more than may be open.
    async fn answers_beside_silent_connections(&self) {
        let mut silent = Vec::new();
        for _ in 0..10 {
            silent.push(self.send("").await);
        }
        let new = self.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(received(new).await.ends_with("at once"));
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
    let server = Server::start(ConnectionLimits { headers: SHORT, ..LIMITS }).await;
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
    let server = Server::start(LIMITS).await;
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
    let server = Server::start(ConnectionLimits { drain: SHORT, ..LIMITS }).await;
    let slow = server.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.called.notified().await;
    server.shutdown.cancel();
    assert_eq!(received(slow).await, "");
    server.ended().await;
}

#[tokio::test]
async fn a_connection_whose_caller_does_not_read_is_closed() {
    let server = Server::start(ConnectionLimits { write: SHORT, drain: 10 * LONG, ..LIMITS }).await;
    let unread = server.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // The server has closed the connection when it ends although the answer has no end and draining takes long.
    unread.readable().await.expect("the answer begins");
    server.shutdown.cancel();
    server.ended().await;
}

#[tokio::test]
async fn an_answer_can_be_cut_off_from_outside() {
    let server = Server::start(LIMITS).await;
    let mut caller = server.send("GET /closes HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // The connection ends although the answer goes on.
    let _ = timeout(LONG, caller.read_to_end(&mut Vec::new())).await.expect("the connection is closed");
}

#[tokio::test]
async fn an_idle_connection_is_closed_for_a_new_one_and_a_busy_one_is_not() {
    let server = Server::start(ConnectionLimits { connections: 3, ..LIMITS }).await;
    let busy = server.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    server.called.notified().await;
    let mut kept = server.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    kept.readable().await.expect("answered");

    server.answers_beside_silent_connections().await;
    // The connection that was answered before outlasts those that never sent a request.
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert_eq!(received(kept).await.matches("at once").count(), 2);
    server.may_answer.add_permits(1);
    assert!(received(busy).await.ends_with("late"));
}

#[tokio::test]
async fn an_address_with_many_connections_gives_up_its_own_first() {
    let server = Server::start(ConnectionLimits { connections: 4, ..LIMITS }).await;
    // The connection that was idle longest is of another address.
    let mut kept = server.send_from(OTHER, "").await;
    server.answers_beside_silent_connections().await;
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert!(received(kept).await.ends_with("at once"));
}

#[tokio::test]
async fn a_new_connection_is_not_closed_before_it_could_send_a_request() {
    let server = Server::start(ConnectionLimits { connections: 1, first_request: LONG, ..LIMITS }).await;
    let mut first = server.send("").await;
    let second = server.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert!(received(first).await.ends_with("at once"));
    assert!(received(second).await.ends_with("at once"));
}

#[tokio::test]
async fn a_connection_is_not_idle_until_its_answer_is_written() {
    let server = Server::start(ConnectionLimits { connections: 2, ..LIMITS }).await;
    let mut slow = server.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    slow.read_exact(&mut [0; 1]).await.expect("the answer begins");
    let idle = server.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.readable().await.expect("answered");

    // For the new connection the idle one is closed, although the other one has waited longer.
    let new = server.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(received(new).await.ends_with("at once"));
    assert_eq!(received(idle).await.matches("at once").count(), 1);
    assert!(received(slow).await.len() > LARGE);
}

#[tokio::test]
async fn callers_of_one_address_wait_for_each_others_requests() {
    let server = Server::start(ConnectionLimits { connections: 2, first_request: 10 * SHORT, ..LIMITS }).await;
    let first = server.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.called.notified().await;
    let second = server.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    server.called.notified().await;
    // As many connections again may wait; a further one is closed.
    let third = server.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let fourth = server.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(received(server.send("").await).await, "");

    // One place is enough for both that wait, because each connection is closed for the next one once it is idle.
    server.may_answer.add_permits(1);
    assert!(received(first).await.ends_with("late"));
    assert!(received(third).await.ends_with("at once"));
    assert!(received(fourth).await.ends_with("at once"));
    server.may_answer.add_permits(1);
    assert!(received(second).await.ends_with("late"));
}

#[tokio::test]
async fn an_address_with_many_requests_in_flight_makes_room_for_another_one() {
    let server = Server::start(ConnectionLimits { connections: 4, ..LIMITS }).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(server.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await);
        server.called.notified().await;
    }
    // The request that is in flight for longest is cut off for another caller.
    let mut kept = server.send_from(OTHER, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(received(busy.remove(0)).await, "");
    timeout(LONG, kept.readable()).await.expect("in time").expect("answered");

    // Further connections of the first address wait, and neither close the idle one nor keep others from being accepted.
    let waiting = server.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let new = server.send_from(OTHER, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(received(new).await.ends_with("at once"));
    assert_eq!(received(busy.remove(0)).await, "");
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert_eq!(received(kept).await.matches("at once").count(), 2);

    assert!(received(waiting).await.ends_with("at once"));
    server.may_answer.add_permits(2);
    for busy in busy {
        assert!(received(busy).await.ends_with("late"));
    }
}

#[tokio::test]
async fn an_address_whose_connections_are_new_or_busy_makes_room_at_once() {
    let server = Server::start(ConnectionLimits { connections: 3, first_request: LONG, ..LIMITS }).await;
    let busy = server.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.called.notified().await;
    let mut new = Vec::new();
    for _ in 0..2 {
        new.push(server.send("").await);
    }
    let other = server.send_from(OTHER, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(received(other).await.ends_with("at once"));
    assert_eq!(received(busy).await, "");
    for mut new in new {
        new.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
        assert!(received(new).await.ends_with("at once"));
    }
}
