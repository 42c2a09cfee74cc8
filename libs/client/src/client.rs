//! The client: its configuration, and the headers that all requests have.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Url};
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use secrecy::{ExposeSecret, SecretString};

use crate::ClientError;

/// How long establishing a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration of a [`Client`].
///
/// [`ClientConfig::new`] sets everything but URLs and token to its default. Other values are set with struct update
/// syntax:
///
/// ```
/// use std::time::Duration;
/// use sealbus_client::ClientConfig;
///
/// let config = ClientConfig {
///     tenant: Some("acme".to_owned()),
///     retry_budget: Duration::from_secs(5),
///     ..ClientConfig::new(["http://sealbus-0:8080", "http://sealbus-1:8080"], "the token")
/// };
/// ```
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The URLs of the publishers, such as `http://host:8080`: one for each replica, or that of a load balancer.
    pub urls: Vec<String>,
    /// The bearer token.
    pub token: SecretString,
    /// The tenant of all calls, or `None` for the token's default tenant.
    pub tenant: Option<String>,
    /// How long after its first attempt a call may be retried. Default: 30 s. It limits when a retry may
    /// start, not how long it takes.
    pub retry_budget: Duration,
    /// How long one attempt may take, from connecting to the end of the response. Default: 30 s. Streams have no such
    /// limit.
    pub attempt_timeout: Duration,
    /// The pause after the first round in which all URLs failed. Default: 50 ms. It doubles with each round, up to a
    /// hundred times this value, and is reduced at random by up to a half.
    pub first_retry_delay: Duration,
    /// The longest accepted response, in bytes. Default: 64 MiB. A message of a stream, which is one event, has at most
    /// 4 MiB in any case.
    pub max_response_bytes: usize,
    /// How long an event stream may be silent before it is opened again. Default: 45 s. It must be longer than the
    /// service's heartbeat, which is 15 s by default.
    pub stream_idle_timeout: Duration,
}

impl ClientConfig {
    /// Returns a configuration for these URLs and this token, with the defaults of all other values.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>, token: &str) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            token: SecretString::from(token),
            tenant: None,
            retry_budget: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(30),
            first_retry_delay: Duration::from_millis(50),
            max_response_bytes: 64 << 20,
            stream_idle_timeout: Duration::from_secs(45),
        }
    }
}

/// A client of the Sealbus HTTP API. Clones are cheap and share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
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
        let parse = |url: &String| {
            parse_url(url).ok_or_else(|| ClientError::Usage(format!("\"{url}\" is not a URL such as http://host:port")))
        };
        let urls = config.urls.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(ClientError::Usage("a client needs at least one URL".to_owned()));
        }
        let builder = http_builder().default_headers(headers(&config)?).connect_timeout(CONNECT_TIMEOUT);
        let http = builder
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

/// Parses an http or https URL.
pub(crate) fn parse_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// Returns an HTTP client with the settings that all calls have in common.
pub(crate) fn http_builder() -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("sealbus-client/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
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
