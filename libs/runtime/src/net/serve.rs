//! Serving HTTP/1.1, without waiting for ever for a caller.

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

/// The pause after a connection could not be taken for want of descriptors or memory, until others have ended.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a server waits for its callers.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// Time within which a connection has to send the headers of a request, counted from when it was opened or its last
    /// answer ended. Then it is closed, so that nobody can hold connections open by silence or by sending slowly.
    pub headers: Duration,
    /// Time that calls in flight have to finish once the server is told to stop; then they are cut off.
    pub drain: Duration,
}

/// Serves `router` until `shutdown` fires; then takes no more connections, and ends when the calls that are under way are
/// answered or cut off. No failure to take a connection ends it: it is logged, and the next is waited for.
pub async fn serve(listener: TcpListener, router: Router, timeouts: ConnectionTimeouts, shutdown: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    // axum's own server sets no timer, without which hyper waits for headers for ever.
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
            Err(error) if is_the_callers(&error) => {}
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "a connection cannot be taken");
                // Either way the loop goes on and sees what to do.
                let _ = timeout(PAUSE, shutdown.cancelled()).await;
            }
        }
    }
    drop(listener);
    let answered = async { while connections.join_next().await.is_some() {} };
    if timeout(timeouts.drain, answered).await.is_err() {
        tracing::warn!(drain = ?timeouts.drain, "calls were still under way and are cut off");
    }
}

/// Answers the requests of a connection; from when `shutdown` fires no more than the one that is under way.
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
        tracing::debug!(error = %error_chain(&error), "a connection broke off");
    }
}

/// Whether a connection was lost before it was taken, which is no fault of ours.
fn is_the_callers(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
