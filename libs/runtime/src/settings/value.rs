//! The types of the values that settings can have.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sealbus_core::duration;
use secrecy::SecretString;

use super::entry::Secrecy;
use super::secret::SecretUrl;

/// A type of values that a setting can have.
pub trait Value: Sized {
    /// Name of the type in documentation and errors.
    const KIND: &'static str;
    /// How much of a value is shown.
    const SECRECY: Secrecy = Secrecy::Open;
    /// Whether the value can also be read from a file, which the variable with the suffix `_FILE` names.
    const FROM_FILE: bool = true;

    /// Parses a value. The error describes valid values, such as "a duration: …". `text` has no spaces around it and is not empty.
    fn parse(text: &str) -> Result<Self, &'static str>;

    /// Returns the value as a number, which is compared with the limits of the setting's range. Returns `None` if values of
    /// this type have no order.
    fn measure(&self) -> Option<i128> {
        None
    }
}

/// Any text.
impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(text.to_owned())
    }
}

/// A secret text, which is never shown.
impl Value for SecretString {
    const KIND: &'static str = "secret";
    const SECRECY: Secrecy = Secrecy::Hidden;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self::from(text))
    }
}

/// A URL that may contain credentials.
impl Value for SecretUrl {
    const KIND: &'static str = "URL";
    const SECRECY: Secrecy = Secrecy::Url;

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains("://") { Ok(Self::new(text)) } else { Err("a URL, such as scheme://host") }
    }
}

/// The path of a file or folder. It cannot be read from a file, because the value already names a file. If it could, and the
/// `_FILE` variable named a file of secrets by mistake, then the error about the invalid path would print the secrets.
impl Value for PathBuf {
    const KIND: &'static str = "path";
    const FROM_FILE: bool = false;

    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self::from(text))
    }
}

/// A comma-separated list.
impl Value for Vec<String> {
    const KIND: &'static str = "comma-separated list";

    fn parse(text: &str) -> Result<Self, &'static str> {
        // Empty members are left out.
        Ok(text.split(',').map(str::trim).filter(|member| !member.is_empty()).map(str::to_owned).collect())
    }
}

impl Value for u32 {
    const KIND: &'static str = "number";

    fn parse(text: &str) -> Result<Self, &'static str> {
        digits(text).and_then(|number| Self::try_from(number).ok()).ok_or("a whole number below 2^32")
    }

    fn measure(&self) -> Option<i128> {
        Some((*self).into())
    }
}

/// A number that Postgres stores as a `bigint`. It is never negative.
impl Value for i64 {
    const KIND: &'static str = "number";

    fn parse(text: &str) -> Result<Self, &'static str> {
        digits(text).and_then(|number| Self::try_from(number).ok()).ok_or("a whole number below 2^63")
    }

    fn measure(&self) -> Option<i128> {
        Some((*self).into())
    }
}

/// A duration, written as digits and a unit: `us`, `ms`, `s`, `m`, `h` or `d`.
impl Value for Duration {
    const KIND: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, &'static str> {
        duration::parse(text)
            .map_err(|_| "a duration: a whole number and a unit (us, ms, s, m, h or d), such as 100ms or 5s")
    }

    fn measure(&self) -> Option<i128> {
        i128::try_from(self.as_micros()).ok()
    }
}

/// A number of bytes, such as `262144`, `256KiB`, `4MiB` or `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// Takes a number of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The size as it is written in a setting, in the largest unit that needs no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scale, unit) = UNITS.into_iter().find(|(scale, _)| self.0.is_multiple_of(*scale)).unwrap_or((1, ""));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

/// The units of sizes in bytes, largest first.
const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

impl Value for Size {
    const KIND: &'static str = "size";

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let scale = match unit {
            "" | "B" => Some(1),
            _ => UNITS.into_iter().find(|(_, known)| *known == unit).map(|(scale, _)| scale),
        };
        let bytes = scale.and_then(|scale| digits(number)?.checked_mul(scale));
        bytes.map(Self).ok_or("a size: a number of bytes, or a whole number and KiB, MiB or GiB, such as 256KiB")
    }

    fn measure(&self) -> Option<i128> {
        Some(self.0.into())
    }
}

/// An address to listen on: a host name or IP address, a colon, and a port. Port 0 selects any free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(String);

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for HostPort {
    const KIND: &'static str = "host:port";

    fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "host:port, such as 127.0.0.1:8080, [::1]:8080 or localhost:0";
        let (host, port) = text.rsplit_once(':').ok_or(RULE)?;
        let named = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
        if host.is_empty() || !named || digits(port).is_none_or(|port| port > u16::MAX.into()) {
            return Err(RULE);
        }
        Ok(Self(text.to_owned()))
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object per line, for programs.
    Json,
    /// A line of text, for people.
    Text,
}

impl Value for LogFormat {
    const KIND: &'static str = "`json` or `text`";

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("json or text"),
        }
    }
}

/// Parses ASCII digits only. `u64::from_str` would accept a plus sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes() {
        let parse_size = |text: &str| Size::parse(text).ok().map(Size::bytes);
        assert_eq!(parse_size("262144"), Some(262_144));
        assert_eq!(parse_size("256KiB"), Some(262_144));
        assert_eq!(parse_size("4MiB"), Some(4_194_304));
        assert_eq!(parse_size("1GiB"), Some(1_073_741_824));
        for bad in ["", "KiB", "4MB", "4mib", "-1", "1.5MiB", "18446744073709551615GiB"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        for good in ["127.0.0.1:8080", "[::1]:8080", "[::]:0", "localhost:65535", "sealbus-0.sealbus:80"] {
            assert_eq!(HostPort::parse(good).expect(good).to_string(), good);
        }
        for bad in ["", "8080", ":8080", "localhost", "localhost:", "localhost:65536", "::1:8080", "localhost:http"] {
            assert!(HostPort::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!(Vec::parse("acme, globex,,initech "), Ok(vec!["acme".into(), "globex".into(), "initech".into()]));
    }

    proptest! {
        #[test]
        fn no_text_panics_a_parser(text in "\\PC*") {
            let _ = (Duration::parse(&text), Size::parse(&text), HostPort::parse(&text), u32::parse(&text), i64::parse(&text));
        }

        #[test]
        fn a_written_number_or_size_reads_back(number: u32, scale in 0..40_u32) {
            prop_assert_eq!(u32::parse(&number.to_string()), Ok(number));
            let size = Size(u64::from(number) << scale.min(32));
            prop_assert_eq!(Size::parse(&size.to_string()), Ok(size));
        }
    }
}
