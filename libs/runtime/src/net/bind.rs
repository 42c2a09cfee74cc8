//! Binding a port, with a clear message if that fails.

use std::io::{self, ErrorKind};

use tokio::net::TcpListener;

use crate::settings::HostPort;

/// A port cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {}", sentence(address, source))]
pub struct BindError {
    /// Variable or option with the address.
    pub variable: String,
    /// Address.
    pub address: HostPort,
    /// Error of the operating system.
    pub source: io::Error,
}

fn sentence(address: &HostPort, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!("{address} is in use by another program; stop it, or choose another port"),
        ErrorKind::PermissionDenied => format!("this user may not bind {address}; choose a port above 1023"),
        ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        _ => format!("cannot listen on {address}"),
    }
}

/// Binds `address`. `variable` is the setting that the operator has to change to use another address.
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
