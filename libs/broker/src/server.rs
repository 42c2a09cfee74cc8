//! The requirements on a server, checked once after connecting (docs/spec/protocol.md#jetstream-server).

use std::fmt;

use async_nats::ServerInfo;

use crate::BrokerError;

/// The oldest supported nats-server. Version 2.9 has no metadata of streams and consumers, and no consumer pause.
const MIN_VERSION: Version = Version { major: 2, minor: 10 };
/// The smallest `max_payload`, in bytes. The largest message is data of 256 KiB in an envelope, metadata, header and
/// seal.
const MIN_MAX_PAYLOAD: usize = 512 * 1024;

/// The version of a server. Patch level and suffix are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
}

impl Version {
    /// Parses a version such as `2.12.0-RC.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim_start_matches('v').split('.').map(|number| number.parse().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()?? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Returns the version of the server, or an error if it does not meet the requirements.
pub(crate) fn check(info: &ServerInfo) -> Result<Version, BrokerError> {
    let version = Version::parse(&info.version).filter(|version| *version >= MIN_VERSION);
    let version = version.ok_or_else(|| BrokerError::Version { found: info.version.clone(), minimum: MIN_VERSION })?;
    if info.max_payload < MIN_MAX_PAYLOAD {
        return Err(BrokerError::MaxPayload { found: info.max_payload, minimum: MIN_MAX_PAYLOAD });
    }
    // JetStream is not checked here: a server without it may be a leaf node of a cluster that has it.
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, max_payload: usize) -> ServerInfo {
        ServerInfo { version: version.to_owned(), max_payload, ..ServerInfo::default() }
    }

    #[test]
    fn a_server_before_2_10_is_refused() {
        for version in ["2.10.0", "2.12.0-RC.1", "v2.15.2", "3.0.0"] {
            assert!(check(&server(version, 1 << 20)).is_ok(), "{version}");
        }
        for version in ["2.9.10", "1.4.1", "", "two"] {
            let error = check(&server(version, 1 << 20)).expect_err(version);
            assert_eq!(error.to_string(), format!("the broker is nats-server {version}; Sealbus needs 2.10 or later"));
        }
    }

    #[test]
    fn a_max_payload_below_512_kib_is_refused() {
        assert!(check(&server("2.12.1", 512 * 1024)).is_ok());
        let error = check(&server("2.12.1", 512 * 1024 - 1)).expect_err("too small");
        assert!(error.to_string().contains("524287 bytes; Sealbus needs 524288: set max_payload"), "{error}");
    }
}
