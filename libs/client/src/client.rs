//! The client: its URLs and the headers that all requests have.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use secrecy::ExposeSecret;

use crate::config::ClientConfig;
use crate::error::ClientError;

/// How long establishing a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the Sealbus HTTP API. Clones are cheap and share connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    pub(crate) urls: Vec<Url>,
    pub(crate) config: ClientConfig,
}

impl Client {
    /// Returns a client, without connecting yet.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if there is no URL, a URL is not valid, or token or tenant contain characters that a
    /// header cannot have.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let urls = config.urls.iter().map(|url| parse_url(url)).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(ClientError::Usage("a client needs at least one URL".to_owned()));
        }
        let http = reqwest::Client::builder()
            .default_headers(headers(&config)?)
            .user_agent(concat!("sealbus-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ClientError::Usage(format!("cannot create the HTTP client: {}", error_chain(&error))))?;
        Ok(Self { inner: Arc::new(Inner { http, urls, config }) })
    }

    /// Returns the URLs in the order in which to try them for a key, such as a plan's name. The order depends on the
    /// set of URLs and not on their order in the configuration, so that all clients use the same one (rendezvous
    /// hashing).
    pub(crate) fn urls_for(&self, key: &str) -> Vec<&Url> {
        let mut urls: Vec<&Url> = self.inner.urls.iter().collect();
        urls.sort_by_cached_key(|url| Hash::of(format!("{url}\n{key}").as_bytes()));
        urls
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.inner.config).finish()
    }
}

fn parse_url(text: &str) -> Result<Url, ClientError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| ClientError::Usage(format!("\"{text}\" is not a URL such as http://host:port")))
}

fn headers(config: &ClientConfig) -> Result<HeaderMap, ClientError> {
    let usage = |what| ClientError::Usage(format!("the {what} contains characters that a header cannot have"));
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", config.token.expose_secret());
    let mut token = HeaderValue::from_str(&bearer).map_err(|_| usage("token"))?;
    token.set_sensitive(true);
    headers.insert(AUTHORIZATION, token);
    if let Some(tenant) = &config.tenant {
        headers.insert("sealbus-tenant", HeaderValue::from_str(tenant).map_err(|_| usage("tenant"))?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_list_does_not_change_the_url_of_a_plan() {
        let client = |urls: [&str; 3]| Client::new(ClientConfig::new(urls, "token")).expect("a client");
        let one = client(["http://a:1", "http://b:1", "http://c:1"]);
        let other = client(["http://c:1", "http://a:1", "http://b:1"]);
        let mut firsts = std::collections::HashSet::new();
        for plan in (0..100).map(|n| format!("plan-{n}")) {
            assert_eq!(one.urls_for(&plan), other.urls_for(&plan));
            firsts.insert(one.urls_for(&plan)[0]);
        }
        assert_eq!(firsts.len(), 3, "some URL is never the first one");
    }

    #[test]
    fn debug_output_and_errors_do_not_contain_the_token() {
        let client = Client::new(ClientConfig::new(["http://a:1"], "hidden")).expect("a client");
        assert!(!format!("{client:?} {:?}", client.inner.config).contains("hidden"));
        let error = Client::new(ClientConfig::new(["http://a:1"], "hidden\n")).expect_err("a token with a line break");
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }

    #[test]
    fn invalid_urls_are_refused() {
        for urls in [vec![], vec!["localhost:8080"], vec!["nats://localhost:4222"], vec!["http://a:1", ""]] {
            assert!(matches!(Client::new(ClientConfig::new(urls, "token")), Err(ClientError::Usage(_))));
        }
    }
}
