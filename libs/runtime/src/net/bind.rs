//! Listening on a port, and saying plainly why it cannot be done.

use std::io::{self, ErrorKind};

use tokio::net::TcpListener;

use crate::settings::HostPort;

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {}", sentence(address, source))]
pub struct BindError {
    /// The variable, or the option, that named the address.
    pub variable: String,
    /// The address.
    pub address: HostPort,
    /// What the operating system says.
    pub source: io::Error,
}

fn sentence(address: &HostPort, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!("{address} is taken by another program; stop that one, or choose another port"),
        ErrorKind::PermissionDenied => format!("{address} is not for this user; choose a port above 1023"),
        ErrorKind::AddrNotAvailable => format!("{address} is no address of this machine"),
        _ => format!("cannot listen on {address}"),
    }
}

/// Listens on `address`; `variable` is what the operator would change to have another one.
pub async fn bind(variable: &str, address: &HostPort) -> Result<TcpListener, BindError> {
    TcpListener::bind(address.as_str()).await.map_err(|source| BindError {
        variable: variable.to_owned(),
        address: address.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Value;

    #[tokio::test]
    async fn a_port_that_is_taken_gets_one_clear_sentence() {
        let any = HostPort::parse("127.0.0.1:0").unwrap();
        let holder = bind("SEALBUS_LISTEN", &any).await.expect("a free port");
        let taken = HostPort::parse(&holder.local_addr().unwrap().to_string()).unwrap();
        let error = bind("SEALBUS_LISTEN", &taken).await.expect_err("it is taken");
        assert_eq!(
            error.to_string(),
            format!("SEALBUS_LISTEN: {taken} is taken by another program; stop that one, or choose another port")
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_said_to_be_one() {
        let error = bind("SEALBUS_LISTEN", &HostPort::parse("192.0.2.1:0").unwrap()).await.expect_err("not ours");
        assert_eq!(error.to_string(), "SEALBUS_LISTEN: 192.0.2.1:0 is no address of this machine");
    }
}
