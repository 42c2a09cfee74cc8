//! Sending a call: over as many attempts and URLs as it takes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use sealbus_core::error_chain;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::call::Call;
use crate::{Client, ClientError, Problem};

/// The status of a publish that stored something.
pub(crate) const CREATED: u16 = StatusCode::CREATED.as_u16();
/// The number of characters of an unexpected body that an error quotes.
const MAX_EXCERPT_CHARS: usize = 200;
/// The longest pause between attempts, as a multiple of the first one.
const MAX_GROWTH: u32 = 100;

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
    /// Another URL may succeed, or the same one after the `Retry-After`.
    TryNext(ClientError, Duration),
    /// The service limits the rate of the caller's requests. All URLs would refuse until the `Retry-After` is over.
    SlowDown(ClientError, Duration),
}

/// Pauses that double up to a hundred times the first one. Each is reduced at random by up to a half, so that clients
/// that failed at the same time do not retry at the same time.
pub(crate) struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// Returns the next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.first * MAX_GROWTH);
        pause
    }

    /// Starts again with the first pause, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

impl Client {
    /// Makes attempts until one succeeds or fails permanently: in rounds through all URLs, with growing pauses between the
    /// rounds, within the retry budget.
    async fn retry<'a, T, F>(&'a self, call: &Call<'_>, attempt: impl Fn(&'a Url) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let config = &self.inner.config;
        let deadline = Instant::now() + config.retry_budget;
        let mut pauses = Pauses::new(config.first_retry_delay);
        let urls = self.urls_for(call.affinity);
        loop {
            let (mut last_error, mut longest_retry_after) = (None, Duration::ZERO);
            for url in &urls {
                let (error, retry_after, round_is_over) = match attempt(url).await {
                    Ok(response) => return Ok(response),
                    Err(Failure::Permanent(error)) => return Err(error),
                    Err(Failure::TryNext(error, retry_after)) => (error, retry_after, false),
                    Err(Failure::SlowDown(error, retry_after)) => (error, retry_after, true),
                };
                tracing::debug!(%url, error = %error_chain(&error), "request failed; trying again");
                last_error = Some(error);
                longest_retry_after = longest_retry_after.max(retry_after);
                if round_is_over {
                    break;
                }
            }
            let pause = pauses.next().max(longest_retry_after);
            if Instant::now() + pause > deadline {
                return Err(last_error.expect("`Client::new` refuses a configuration without URLs"));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request, and reads the response to its end.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<CompleteResponse, ClientError> {
        self.retry(call, |url| self.attempt_to_end(call, url)).await
    }

    /// Sends a request, and parses the body of the response.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ClientError> {
        self.send(call).await?.json()
    }

    /// Sends a request, and returns the response as soon as its headers have been received.
    pub(crate) async fn open_stream(&self, call: &Call<'_>) -> Result<Response, ClientError> {
        self.retry(call, |url| self.attempt(call, url, None)).await
    }

    /// Reads a response to its end, in the time that its request has left.
    async fn body(&self, response: Response) -> Result<Bytes, Failure> {
        let (status, url) = (response.status().as_u16(), response.url().to_string());
        let max_bytes = self.inner.config.max_response_bytes;
        let body = read_body(response, max_bytes).await.map_err(|error| self.unreachable(error))?;
        let too_long =
            || Failure::Permanent(unexpected(&url, status, format!("the body is longer than {max_bytes} bytes")));
        body.ok_or_else(too_long)
    }

    async fn attempt_to_end(&self, call: &Call<'_>, base: &Url) -> Result<CompleteResponse, Failure> {
        let timeout = self.inner.config.attempt_timeout + call.extra_time;
        let response = self.attempt(call, base, Some(timeout)).await?;
        let (status, url) = (response.status().as_u16(), response.url().to_string());
        Ok(CompleteResponse { status, url, body: self.body(response).await? })
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
        let body = match self.body(response).await {
            Ok(body) => body,
            Err(failure) => return failure,
        };
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => ClientError::Refused(Box::new(Problem { status, retry_after, ..problem })),
            Err(_) => unexpected(&url, status, excerpt(&body)),
        };
        match status {
            429 => Failure::SlowDown(error, retry_after.unwrap_or_default()),
            _ if is_retryable(status) => Failure::TryNext(error, retry_after.unwrap_or_default()),
            _ => Failure::Permanent(error),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let urls: Vec<&str> = self.inner.urls.iter().map(|url| url.as_str().trim_end_matches('/')).collect();
        // The error already names the URLs. The library would add the URL with its query.
        let source = error_chain(&error.without_url()).into();
        Failure::TryNext(ClientError::Unreachable { urls: urls.join(", "), source }, Duration::ZERO)
    }
}

/// Reads a response to its end, or returns `None` if it is longer than `max_bytes`. The `Content-Length` header is not trusted.
pub(crate) async fn read_body(mut response: Response, max_bytes: usize) -> reqwest::Result<Option<Bytes>> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > max_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body.freeze()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_hundred_times_the_first_with_jitter() {
        let first = Duration::from_millis(50);
        let mut pauses = Pauses::new(first);
        for round in 0..20 {
            let full = (first * 2_u32.pow(round)).min(Duration::from_secs(5));
            let pause = pauses.next();
            assert!(pause >= full / 2 && pause <= full, "round {round}: {pause:?} of {full:?}");
        }
        pauses.reset();
        assert!(pauses.next() <= first);
    }
}
