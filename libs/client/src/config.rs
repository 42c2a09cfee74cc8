//! The configuration of a client.

use std::time::Duration;

use secrecy::SecretString;

/// The configuration of a [`Client`](crate::Client).
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
            stream_idle_timeout: Duration::from_secs(45),
        }
    }
}
