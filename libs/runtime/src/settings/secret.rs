//! Secret values.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The text that is shown instead of a secret.
pub(super) const MASK: &str = "***";

/// A URL that may contain credentials. `Display` and `Debug` mask them.
#[derive(Clone)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    /// Takes a URL, or a comma-separated list of URLs.
    pub fn new(url: &str) -> Self {
        Self(SecretString::from(url))
    }

    /// Returns the URL with its credentials, for the driver that connects.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked_urls(self.expose()))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

/// Masks the credentials and the query of a URL, or of each URL of a list. Masks the whole text if the parts cannot be told apart
/// with certainty.
pub(super) fn masked_urls(text: &str) -> String {
    let masked: Option<Vec<String>> = if text.contains(',') {
        // A password may contain a comma, so a list is shown only if each part is a URL of a server without path or query.
        text.split(',').map(|url| masked_url(url).filter(|url| is_bare(url))).collect()
    } else {
        masked_url(text).map(|masked| vec![masked])
    };
    masked.map_or_else(|| MASK.to_owned(), |urls| urls.join(","))
}

/// Returns scheme, host, port and path. Returns `None` if they could contain a credential: without a scheme, with an `@` after a
/// `?`, or with something other than a port after the colon of the host.
fn masked_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, _)) if credentials.contains('?') => return None,
        Some((_, rest)) => (format!("{MASK}@"), rest),
        None => (String::new(), rest),
    };
    let (location, query) = match rest.split_once('?') {
        Some((location, _)) => (location, format!("?{MASK}")),
        None => (rest, String::new()),
    };
    // split yields at least one part.
    let host = location.split('/').next().unwrap_or(location);
    is_host(host).then(|| format!("{scheme}://{credentials}{location}{query}"))
}

/// Returns whether a text is a host with or without a port. It is empty if the query names the folder of a socket.
fn is_host(text: &str) -> bool {
    let port = if text.ends_with(']') { None } else { text.rsplit_once(':') };
    port.is_none_or(|(host, port)| {
        (host.starts_with('[') || !host.contains(':')) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Returns whether nothing follows the host and port of a URL.
fn is_bare(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_masked_and_host_and_path_are_shown() {
        for (url, shown) in [
            ("postgres://sealbus@db:5432/bus", "postgres://***@db:5432/bus"),
            ("postgres://sealbus:pass@db:5432/bus?sslmode=require", "postgres://***@db:5432/bus?***"),
            ("postgres:///bus?host=/run/postgresql&password=pass", "postgres:///bus?***"),
            ("nats://a:4222,nats://token@b:4222", "nats://a:4222,nats://***@b:4222"),
            ("nats://[::1]:4222", "nats://[::1]:4222"),
            ("postgres://user:pass", "***"),
            ("host=db password=pass", "***"),
            ("postgres://u:pa,ss@db", "***"),
            ("postgres://db/bus?user=u&password=p@ss", "***"),
        ] {
            assert_eq!(SecretUrl::new(url).to_string(), shown);
            assert!(!format!("{:?}", SecretUrl::new(url)).contains("pass"));
        }
    }

    proptest! {
        /// A marker inside a password of any characters is never shown.
        #[test]
        fn no_password_is_shown(password in "[a-z:/?,@#%]{0,12}QQ[a-z:/?,@#%]{0,12}") {
            let url = format!("postgres://user:{password}@db.example/bus");
            prop_assert!(!SecretUrl::new(&url).to_string().contains("QQ"));
            let query = format!("postgres://db.example/bus?password={password}");
            prop_assert!(!SecretUrl::new(&query).to_string().contains("QQ"));
        }
    }
}
