//! Values that may be used and not shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a secret.
pub(super) const MASK: &str = "***";

/// A URL that may hold credentials. Its `Display` and `Debug` mask them.
#[derive(Clone)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    /// Takes a URL, or a list of them between commas.
    pub fn new(url: &str) -> Self {
        Self(SecretString::from(url))
    }

    /// The URL with its credentials, for the driver that connects and for nobody else.
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

/// A URL, or each of a list of them, with credentials and query masked; all of it where they cannot be told apart safely.
pub(super) fn masked_urls(text: &str) -> String {
    let masked: Option<Vec<String>> = if text.contains(',') {
        // A comma may stand in a password too: only what is plainly a list of servers is shown as one.
        text.split(',').map(|url| masked_url(url).filter(|url| is_bare(url))).collect()
    } else {
        masked_url(text).map(|masked| vec![masked])
    };
    masked.map_or_else(|| MASK.to_owned(), |urls| urls.join(","))
}

/// Scheme, host, port and path. `None` where a credential could hide in them: no scheme, an `@` after a `?`, or
/// something other than a port after the host's colon.
fn masked_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, _)) if credentials.contains('?') => return None,
        Some((_, rest)) => (format!("{MASK}@"), rest),
        None => (String::new(), rest),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, _)) => (place, format!("?{MASK}")),
        None => (rest, String::new()),
    };
    let host = place.split('/').next().unwrap_or(place);
    is_host(host).then(|| format!("{scheme}://{credentials}{place}{query}"))
}

/// A host with or without a port; empty, where a socket's folder stands in the query.
fn is_host(text: &str) -> bool {
    let port = if text.ends_with(']') { None } else { text.rsplit_once(':') };
    port.is_none_or(|(host, port)| {
        (host.starts_with('[') || !host.contains(':')) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether nothing follows host and port.
fn is_bare(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn host_and_path_stay_and_credentials_go() {
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
        /// Whatever a password is made of, no more of it is shown than chance would show.
        #[test]
        fn no_password_is_shown(password in "[a-z:/?,@#%]{0,12}QQ[a-z:/?,@#%]{0,12}") {
            let url = format!("postgres://user:{password}@db.example/bus");
            prop_assert!(!SecretUrl::new(&url).to_string().contains("QQ"));
            let query = format!("postgres://db.example/bus?password={password}");
            prop_assert!(!SecretUrl::new(&query).to_string().contains("QQ"));
        }
    }
}
