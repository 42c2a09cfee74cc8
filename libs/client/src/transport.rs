//! Sending a call: over as many attempts and URLs as it takes.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use sealbus_core::error_chain;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::call::Call;
use crate::client::Client;
use crate::error::{ClientError, Problem};
use crate::retry::Pauses;

/// The status of a publish that stored something.
pub(crate) const CREATED: u16 = StatusCode::CREATED.as_u16();
/// The number of characters of an unexpected body that an error quotes.
const MAX_EXCERPT_CHARS: usize = 200;

/// A successful response, read to its end.
pub(crate) struct CompleteResponse {
    status: u16,
    url: String,
    body: Bytes,
}

impl CompleteResponse {
    /// Returns whether the request stored something new.
    pub(crate) fn created(&self) -> bool {
        self.status == CREATED
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> Result<String, ClientError> {
        let text = str::from_utf8(&self.body).map_err(|_| self.unexpected("the body is not UTF-8".to_owned()))?;
        Ok(text.to_owned())
    }

    /// Parses the body.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| self.unexpected(format!("cannot parse the body: {error}")))
    }

    /// Returns the error for a response that is not one of Sealbus.
    pub(crate) fn unexpected(&self, problem: String) -> ClientError {
        unexpected(&self.url, self.status, problem)
    }
}

/// The failure of an attempt.
enum Failure {
    /// Every other attempt would fail too.
    Permanent(ClientError),
    /// Another URL may succeed, or the same one later. The response may have had a `Retry-After`.
    TryNext(ClientError, Option<Duration>),
    /// The service limits the rate of the caller's requests. All URLs would refuse until the `Retry-After` is over.
    SlowDown(ClientError, Duration),
}

/// The attempts of one call: in rounds through all URLs, with growing pauses between the rounds, within the retry
/// budget.
struct Attempts<'a> {
    urls: Vec<&'a Url>,
    url_index: usize,
    pauses: Pauses,
    /// The longest `Retry-After` of the round.
    retry_after: Duration,
    deadline: Instant,
}

impl<'a> Attempts<'a> {
    fn new(client: &'a Client, call: &Call<'_>) -> Self {
        let config = &client.inner.config;
        Self {
            urls: client.urls_for(call.affinity),
            url_index: 0,
            pauses: Pauses::new(config.first_retry_delay),
            retry_after: Duration::ZERO,
            deadline: Instant::now() + config.retry_budget,
        }
    }

    /// The URL of the current attempt.
    fn url(&self) -> &'a Url {
        self.urls[self.url_index]
    }

    /// Moves on to the next attempt after a pause if necessary. Returns the error if there is to be no other attempt.
    async fn next(&mut self, failure: Failure) -> Result<(), ClientError> {
        let (error, retry_after, round_is_over) = match failure {
            Failure::Permanent(error) => return Err(error),
            Failure::TryNext(error, retry_after) => {
                (error, retry_after.unwrap_or_default(), self.url_index + 1 == self.urls.len())
            }
            Failure::SlowDown(error, retry_after) => (error, retry_after, true),
        };
        tracing::debug!(url = %self.url(), error = %error_chain(&error), "request failed; trying again");
        self.retry_after = self.retry_after.max(retry_after);
        if !round_is_over {
            self.url_index += 1;
            return Ok(());
        }
        let pause = self.pauses.next().max(self.retry_after);
        if Instant::now() + pause > self.deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        (self.url_index, self.retry_after) = (0, Duration::ZERO);
        Ok(())
    }
}

impl Client {
    /// Sends a request, and reads the response to its end.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<CompleteResponse, ClientError> {
        let mut attempts = Attempts::new(self, call);
        loop {
            match self.attempt_to_end(call, attempts.url()).await {
                Ok(response) => return Ok(response),
                Err(failure) => attempts.next(failure).await?,
            }
        }
    }

    /// Sends a request, and parses the body of the response.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ClientError> {
        self.send(call).await?.json()
    }

    /// Sends a request, and returns the response as soon as its headers have been received.
    pub(crate) async fn open_stream(&self, call: &Call<'_>) -> Result<Response, ClientError> {
        let mut attempts = Attempts::new(self, call);
        loop {
            match self.attempt(call, attempts.url(), None).await {
                Ok(response) => return Ok(response),
                Err(failure) => attempts.next(failure).await?,
            }
        }
    }

    async fn attempt_to_end(&self, call: &Call<'_>, base: &Url) -> Result<CompleteResponse, Failure> {
        let timeout = self.inner.config.attempt_timeout + call.extra_time;
        let response = self.attempt(call, base, Some(timeout)).await?;
        let (status, url) = (response.status().as_u16(), response.url().to_string());
        let body = response.bytes().await.map_err(|error| self.unreachable(error))?;
        Ok(CompleteResponse { status, url, body })
    }

    /// Sends a request to one URL once. A response is successful.
    async fn attempt(&self, call: &Call<'_>, base: &Url, timeout: Option<Duration>) -> Result<Response, Failure> {
        let url = call.url(base).map_err(Failure::Permanent)?;
        let mut request = self.inner.http.request(call.method.clone(), url).headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// Returns the failure of a response that is not successful.
    async fn refusal(&self, response: Response) -> Failure {
        let (status, url) = (response.status().as_u16(), response.url().to_string());
        let retry_after = retry_after(response.headers());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return self.unreachable(error),
        };
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => ClientError::Refused(Box::new(Problem { status, retry_after, ..problem })),
            Err(_) => unexpected(&url, status, excerpt(&body)),
        };
        match status {
            429 => Failure::SlowDown(error, retry_after.unwrap_or_default()),
            _ if is_retryable(status) => Failure::TryNext(error, retry_after),
            _ => Failure::Permanent(error),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let urls: Vec<&str> = self.inner.urls.iter().map(|url| url.as_str().trim_end_matches('/')).collect();
        // The error already names the URLs. The library would add the URL with its query.
        let source = error_chain(&error.without_url()).into();
        Failure::TryNext(ClientError::Unreachable { urls: urls.join(", "), source }, None)
    }
}

/// Returns whether a status says nothing against the request itself: a rate limit, an overload, or an unreachable
/// ledger or replica.
pub(crate) fn is_retryable(status: u16) -> bool {
    matches!(status, 429 | 502..=504)
}

fn unexpected(url: &str, status: u16, problem: String) -> ClientError {
    ClientError::Unexpected { url: url.to_owned(), status, problem }
}

/// Returns the beginning of a body that is not one of Sealbus.
fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(MAX_EXCERPT_CHARS).collect();
    if text.is_empty() { "the body is empty".to_owned() } else { text }
}

/// Reads `Retry-After` in seconds, as Sealbus sends it. The other form, a date, is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
