//! Ports: chosen freely, unless one was asked for by name.

use std::net::TcpListener;

use crate::BackingError;

/// A port of 127.0.0.1 that is free at this moment; another process may be quicker, so whoever binds it has to look.
pub fn free_port() -> Result<u16, BackingError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BackingError::io("choosing a free port"))?;
    Ok(listener.local_addr().map_err(BackingError::io("choosing a free port"))?.port())
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
