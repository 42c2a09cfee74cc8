//! What a server must be able to do, checked once at the start.

use std::fmt;

use async_nats::ServerInfo;

use crate::BrokerError;

/// The oldest nats-server that will do: 2.9 knows no metadata and no consumer pause.
const VERSION_FLOOR: Version = Version { major: 2, minor: 10 };
/// The smallest `max_payload` that holds every message: data of 256 KiB in an envelope, metadata, header and seal.
const PAYLOAD_FLOOR: usize = 512 * 1024;

/// A server's version, as far as features depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second one.
    pub minor: u32,
}

impl Version {
    /// The first two numbers of a version such as `2.12.0-RC.1`.
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

/// Refuses a server that cannot carry Sealbus, and says the version of one that can.
pub(crate) fn check(info: &ServerInfo) -> Result<Version, BrokerError> {
    let version = Version::parse(&info.version).filter(|version| *version >= VERSION_FLOOR);
    let version = version.ok_or_else(|| BrokerError::Version { found: info.version.clone(), floor: VERSION_FLOOR })?;
    if info.max_payload < PAYLOAD_FLOOR {
        return Err(BrokerError::MaxPayload { found: info.max_payload, floor: PAYLOAD_FLOOR });
    }
    // A server without JetStream may be a leaf of a cluster that has it: the first request tells.
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, max_payload: usize) -> ServerInfo {
        ServerInfo { version: version.to_owned(), max_payload, ..ServerInfo::default() }
    }

    #[test]
    fn the_floor_is_2_10() {
        for version in ["2.10.0", "2.12.0-RC.1", "v2.15.2", "3.0.0"] {
            assert!(check(&server(version, 1 << 20)).is_ok(), "{version}");
        }
        for version in ["2.9.10", "1.4.1", "", "two"] {
            let error = check(&server(version, 1 << 20)).expect_err(version);
            assert_eq!(error.to_string(), format!("the broker is nats-server {version}; Sealbus needs 2.10 or later"));
        }
    }

    #[test]
    fn the_largest_message_must_fit() {
        assert!(check(&server("2.12.1", 512 * 1024)).is_ok());
        let error = check(&server("2.12.1", 512 * 1024 - 1)).expect_err("too small");
        assert!(error.to_string().contains("524287 bytes; Sealbus needs 524288: set max_payload"), "{error}");
    }
}
