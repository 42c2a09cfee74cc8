//! An HTTP/1.1 server that does not wait indefinitely for its callers.

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sealbus_core::error_chain;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Pause after a connection could not be accepted for lack of descriptors or memory, so that other connections can end first.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long a server waits for its callers.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// Time within which a connection has to send the headers of a request, counted from when it was opened or its last
    /// answer ended. Then it is closed, so that nobody can hold connections open by silence or by sending slowly.
    pub headers: Duration,
    /// Time that calls in flight have to finish once the server is told to stop; then they are cut off.
    pub drain: Duration,
}

/// Serves `router` until `shutdown` fires. Then it accepts no more connections, and returns when the calls in flight are answered
/// or cut off. A failure to accept a connection is logged, and the server continues.
pub async fn serve(listener: TcpListener, router: Router, timeouts: ConnectionTimeouts, shutdown: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    // The server of axum sets no timer, without which hyper waits for headers indefinitely.
    http.timer(TokioTimer::new()).header_read_timeout(timeouts.headers);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(answer(http.clone(), stream, service.clone(), shutdown.clone()));
            }
            Err(error) if is_from_caller(&error) => {}
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "cannot accept a connection");
                // The loop handles both a timeout and a shutdown.
                let _ = timeout(ACCEPT_PAUSE, shutdown.cancelled()).await;
            }
        }
    }
    drop(listener);
    let answered = async { while connections.join_next().await.is_some() {} };
    if timeout(timeouts.drain, answered).await.is_err() {
        tracing::warn!(drain = ?timeouts.drain, "calls in flight are cut off");
    }
}

/// Answers the requests of a connection. Once `shutdown` fires, only the request in flight is answered.
async fn answer(
    http: http1::Builder,
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    shutdown: CancellationToken,
) {
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error_chain(&error), "connection broken");
    }
}

/// Returns whether the caller closed a connection before it was accepted, which is not a failure of the server.
fn is_from_caller(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
