//! What a client is told.

use std::time::Duration;

use secrecy::SecretString;

/// Where the service is, who calls, and how patiently.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The replicas, or the one address that stands for all of them: `http://host:port`.
    pub urls: Vec<String>,
    /// The bearer token.
    pub token: SecretString,
    /// The tenant to act for; none is the token's default.
    pub tenant: Option<String>,
    /// How long a call that may be tried again is, from its first attempt on.
    pub patience: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The first pause after all URLs have failed; it doubles with each round, up to a hundred times as long.
    pub pause: Duration,
    /// How long an event stream may say nothing before it is opened anew; the service sends a sign of life every 15 s.
    pub silence: Duration,
}

impl ClientConfig {
    /// With a patience of 30 s, 30 s an attempt, pauses from 50 ms to 5 s, and 45 s of silence.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>, token: &str) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            token: SecretString::from(token),
            tenant: None,
            patience: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            pause: Duration::from_millis(50),
            silence: Duration::from_secs(45),
        }
    }
}
