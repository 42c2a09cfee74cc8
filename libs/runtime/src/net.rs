//! Binding ports, and an HTTP/1.1 server that does not wait indefinitely for its callers.

use std::io;
use std::io::ErrorKind::{
    AddrInUse, AddrNotAvailable, ConnectionAborted, ConnectionRefused, ConnectionReset, PermissionDenied,
};
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

use crate::settings::HostPort;

type Service = TowerToHyperService<Router>;

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

/// A port cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BindError {
    message: String,
    source: io::Error,
}

/// Binds `address`. `variable` is the setting that the operator has to change to use another address.
pub async fn bind(variable: &str, address: &HostPort) -> Result<TcpListener, BindError> {
    TcpListener::bind(address.to_string()).await.map_err(|source| {
        let fault = match source.kind() {
            AddrInUse => format!("{address} is in use by another program; stop it, or choose another port"),
            PermissionDenied => format!("this user may not bind {address}; choose a port above 1023"),
            AddrNotAvailable => format!("{address} is not an address of this machine"),
            _ => format!("cannot listen on {address}"),
        };
        BindError { message: format!("{variable}: {fault}"), source }
    })
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
            // The caller closed the connection before it was accepted, which is not a failure of the server.
            Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset) => {}
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
async fn answer(http: http1::Builder, stream: TcpStream, service: Service, shutdown: CancellationToken) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Value;

    #[tokio::test]
    async fn a_port_in_use_is_reported_with_what_to_do() {
        let any = HostPort::parse("127.0.0.1:0").unwrap();
        let listener = bind("SEALBUS_LISTEN", &any).await.expect("a free port");
        let taken = HostPort::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let error = bind("SEALBUS_LISTEN", &taken).await.expect_err("the port is in use");
        assert_eq!(
            error.to_string(),
            format!("SEALBUS_LISTEN: {taken} is in use by another program; stop it, or choose another port")
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_reported() {
        let error = bind("SEALBUS_LISTEN", &HostPort::parse("192.0.2.1:0").unwrap())
            .await
            .expect_err("the address belongs to another machine");
        assert_eq!(error.to_string(), "SEALBUS_LISTEN: 192.0.2.1:0 is not an address of this machine");
    }
}
