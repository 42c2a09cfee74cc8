//! Ports: chosen freely, unless one was asked for by name.

use std::net::TcpListener;

use crate::BackingError;

/// Where ports are chosen: below those that systems give to outgoing connections (from 32768 on Linux). A server that is
/// restarted so finds its port again: a client that tries to reconnect in the meantime cannot be given that very port.
const CHOSEN: std::ops::Range<u16> = 18_000..32_000;

/// A port of 127.0.0.1 that is free at this moment; another process may be quicker, so whoever binds it has to look.
pub fn free_port() -> Result<u16, BackingError> {
    let width = u128::from(CHOSEN.end - CHOSEN.start);
    let mut last = None;
    for _ in 0..100 {
        let offset = u16::try_from(uuid::Uuid::new_v4().as_u128() % width).unwrap_or_default();
        match TcpListener::bind(("127.0.0.1", CHOSEN.start + offset)) {
            Ok(listener) => return Ok(listener.local_addr().map_err(BackingError::io("choosing a free port"))?.port()),
            Err(error) => last = Some(error),
        }
    }
    Err(BackingError::io("choosing a free port")(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into())))
}

/// The port asked for, if nobody has it, or a free one.
pub(crate) fn choose(what: &'static str, asked: Option<u16>) -> Result<u16, BackingError> {
    match asked {
        None => free_port(),
        Some(port) => match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => Ok(port),
            Err(_) => Err(BackingError::PortTaken { what, port }),
        },
    }
}
