//! The choice of a port, and the start of a server on it.

use std::net::TcpListener;

use uuid::Uuid;

use crate::BackingError;
use crate::supervisor::SupervisedServer;

/// The range of free ports. It is below the range that Linux gives to outgoing connections (from 32768), so that a
/// client's reconnect attempt cannot occupy the port of a server that is being restarted.
const FREE_PORTS: std::ops::Range<u16> = 18_000..32_000;
/// The number of random ports that are tried before giving up.
const MAX_ATTEMPTS: usize = 100;
/// The number of free ports on which a server is started if other processes bind them first.
const MAX_STARTS: usize = 3;

/// Returns a port of 127.0.0.1 that is free at this moment. Another process may bind it before the caller does.
pub fn free_port() -> Result<u16, BackingError> {
    let mut last_error = std::io::ErrorKind::AddrInUse.into();
    for _ in 0..MAX_ATTEMPTS {
        let [high, low, ..] = Uuid::new_v4().into_bytes();
        let port = FREE_PORTS.start + u16::from_be_bytes([high, low]) % (FREE_PORTS.end - FREE_PORTS.start);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last_error = error,
        }
    }
    Err(BackingError::io("cannot find a free port")(last_error))
}

/// Starts a server with `spawn` on the requested port, or on a free one if none is requested, and returns it with its port.
///
/// # Errors
/// [`BackingError::PortTaken`] if the requested port is in use.
pub(crate) async fn start_server(
    server: &'static str,
    requested: Option<u16>,
    spawn: impl AsyncFn(u16) -> Result<SupervisedServer, BackingError>,
) -> Result<(u16, SupervisedServer), BackingError> {
    let mut starts = 0;
    loop {
        starts += 1;
        let port = match requested {
            None => free_port()?,
            Some(port) if TcpListener::bind(("127.0.0.1", port)).is_ok() => port,
            Some(port) => return Err(BackingError::PortTaken { server, port }),
        };
        match spawn(port).await {
            // A free port may be taken by another process before the server binds it.
            Err(error) if starts < MAX_STARTS && error.is_port_conflict() => {}
            started => return Ok((port, started?)),
        }
    }
}
