//! The client itself: its URLs, its token, and what calls have in common.

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

/// How long it may take to reach a URL at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the service. Cloning is cheap and shares its connections.
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
    /// Makes a client; it speaks to nobody yet. [`ClientError::Usage`] for URLs that are none, or a token or tenant that
    /// no header could hold.
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
            .map_err(|error| ClientError::Usage(format!("the HTTP client cannot be made: {}", error_chain(&error))))?;
        Ok(Self { inner: Arc::new(Inner { http, urls, config }) })
    }

    /// The URLs in the order in which to try them for `key`, which is a plan's name or whatever else stays together. It
    /// depends on the URLs themselves and not on their order, so that all callers agree (rendezvous hashing).
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
    url.ok_or_else(|| ClientError::Usage(format!("\"{text}\" is not a URL of the kind http://host:port")))
}

fn headers(config: &ClientConfig) -> Result<HeaderMap, ClientError> {
    let usage = |what| ClientError::Usage(format!("the {what} has characters that cannot be sent"));
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
    fn a_plan_has_its_url_whatever_the_order_of_the_list() {
        let client = |urls: [&str; 3]| Client::new(ClientConfig::new(urls, "token")).expect("a client");
        let one = client(["http://a:1", "http://b:1", "http://c:1"]);
        let other = client(["http://c:1", "http://a:1", "http://b:1"]);
        let mut firsts = std::collections::HashSet::new();
        for plan in (0..100).map(|n| format!("plan-{n}")) {
            assert_eq!(one.urls_for(&plan), other.urls_for(&plan));
            firsts.insert(one.urls_for(&plan)[0]);
        }
        assert_eq!(firsts.len(), 3, "all URLs get their share");
    }

    #[test]
    fn no_token_is_shown() {
        let client = Client::new(ClientConfig::new(["http://a:1"], "hidden")).expect("a client");
        assert!(!format!("{client:?} {:?}", client.inner.config).contains("hidden"));
        let error = Client::new(ClientConfig::new(["http://a:1"], "hidden\n")).expect_err("a token with a line break");
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for urls in [vec![], vec!["localhost:8080"], vec!["nats://localhost:4222"], vec!["http://a:1", ""]] {
            assert!(matches!(Client::new(ClientConfig::new(urls, "token")), Err(ClientError::Usage(_))));
        }
    }
}
