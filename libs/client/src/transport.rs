//! One call, over however many attempts and URLs it takes.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use sealbus_core::error_chain;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::{ClientError, Problem};
use crate::retry::Pauses;

/// A request, the same for every attempt.
pub(crate) struct Call<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Option<Bytes>,
    /// Calls with the same affinity go to the same URL first.
    affinity: &'a str,
    /// How much longer than others the service may take with it.
    longer: Duration,
}

impl<'a> Call<'a> {
    pub(crate) fn get<const N: usize>(path: [&'a str; N]) -> Self {
        let (query, headers) = (Vec::new(), HeaderMap::new());
        Self {
            method: Method::GET,
            path: path.into(),
            query,
            headers,
            body: None,
            affinity: "",
            longer: Duration::ZERO,
        }
    }

    pub(crate) fn post<const N: usize>(path: [&'a str; N], media_type: &'static str, body: Vec<u8>) -> Self {
        let mut call = Self::get(path).header(CONTENT_TYPE, HeaderValue::from_static(media_type));
        call.method = Method::POST;
        call.body = Some(body.into());
        call
    }

    pub(crate) fn affinity(mut self, key: &'a str) -> Self {
        self.affinity = key;
        self
    }

    pub(crate) fn longer(mut self, by: Duration) -> Self {
        self.longer = by;
        self
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn url(&self, base: &Url) -> Result<Url, ClientError> {
        // A URL drops such segments without a word, and the call would be another.
        if self.path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(ClientError::Usage("the name of a plan is empty, or nothing but dots".to_owned()));
        }
        let mut url = base.clone();
        // Only http and https URLs are let in, and all of those have a path.
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(&self.path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

/// A successful answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    url: String,
    body: Bytes,
}

impl Answer {
    /// The body as it came, where it is text.
    pub(crate) fn text(&self) -> Result<String, ClientError> {
        let text = str::from_utf8(&self.body).map_err(|_| self.unexpected("its body is not UTF-8".to_owned()))?;
        Ok(text.to_owned())
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| self.unexpected(format!("its body does not read: {error}")))
    }

    pub(crate) fn unexpected(&self, what: String) -> ClientError {
        unexpected(&self.url, self.status, what)
    }
}

/// Why an attempt failed, and whether another may help.
enum Failure {
    Final(ClientError),
    /// Another URL, or the same one later.
    Elsewhere(ClientError, Option<Duration>),
    /// The caller is asked to slow down, and would be by every replica.
    Later(ClientError, Duration),
}

/// The attempts of one call: through the URLs, and with growing pauses through them again, until the patience is used up.
struct Attempts<'a> {
    urls: Vec<&'a Url>,
    at: usize,
    pauses: Pauses,
    /// The longest that an answer of this round asked for.
    asked: Duration,
    give_up_at: Instant,
}

impl<'a> Attempts<'a> {
    fn new(client: &'a Client, call: &Call<'_>) -> Self {
        let config = &client.inner.config;
        let (pauses, give_up_at) = (Pauses::new(config.pause), Instant::now() + config.patience);
        Self { urls: client.urls_for(call.affinity), at: 0, pauses, asked: Duration::ZERO, give_up_at }
    }

    fn url(&self) -> &'a Url {
        self.urls[self.at]
    }

    /// Returns when the next attempt may be made; the error where there is to be none.
    async fn after(&mut self, failure: Failure) -> Result<(), ClientError> {
        let (error, asked, round_is_over) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Elsewhere(error, asked) => (error, asked.unwrap_or_default(), self.at + 1 == self.urls.len()),
            Failure::Later(error, asked) => (error, asked, true),
        };
        tracing::debug!(url = %self.url(), %error, "an attempt failed");
        self.asked = self.asked.max(asked);
        if !round_is_over {
            self.at += 1;
            return Ok(());
        }
        let pause = self.pauses.next().max(self.asked);
        if Instant::now() + pause > self.give_up_at {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        (self.at, self.asked) = (0, Duration::ZERO);
        Ok(())
    }
}

impl Client {
    /// Makes the call until it has an answer to the end of its body.
    pub(crate) async fn answer(&self, call: &Call<'_>) -> Result<Answer, ClientError> {
        let mut attempts = Attempts::new(self, call);
        loop {
            match self.whole_answer(call, attempts.url()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ClientError> {
        self.answer(call).await?.json()
    }

    /// Makes the call until an answer has begun.
    pub(crate) async fn stream(&self, call: &Call<'_>) -> Result<Response, ClientError> {
        let mut attempts = Attempts::new(self, call);
        loop {
            match self.attempt(call, attempts.url(), None).await {
                Ok(response) => return Ok(response),
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    async fn whole_answer(&self, call: &Call<'_>, base: &Url) -> Result<Answer, Failure> {
        let response = self.attempt(call, base, Some(self.inner.config.timeout + call.longer)).await?;
        let (status, url) = (response.status().as_u16(), response.url().to_string());
        let body = response.bytes().await.map_err(|error| self.unreachable(error))?;
        Ok(Answer { status, url, body })
    }

    /// One request to one URL: a response with a status of success.
    async fn attempt(&self, call: &Call<'_>, base: &Url, timeout: Option<Duration>) -> Result<Response, Failure> {
        let url = call.url(base).map_err(Failure::Final)?;
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

    /// What a status of failure means. Statuses that a proxy gives for a replica that is away count as that.
    async fn refusal(&self, response: Response) -> Failure {
        let (status, url) = (response.status().as_u16(), response.url().to_string());
        let after = retry_after(response.headers());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return self.unreachable(error),
        };
        let error = problem(&body).map_or_else(
            || unexpected(&url, status, beginning(&body)),
            |problem| ClientError::Refused(Box::new(Problem { status, retry_after: after, ..problem })),
        );
        match status {
            429 => Failure::Later(error, after.unwrap_or_default()),
            _ if may_pass(status) => Failure::Elsewhere(error, after),
            _ => Failure::Final(error),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let urls: Vec<&str> = self.inner.urls.iter().map(|url| url.as_str().trim_end_matches('/')).collect();
        // The URL is named already, and the library repeats it with its query.
        let source = error_chain(&error.without_url()).into();
        Failure::Elsewhere(ClientError::Unreachable { urls: urls.join(", "), source }, None)
    }
}

/// Statuses that say nothing against the request: too often, too much at once, a ledger or a replica that is away.
pub(crate) fn may_pass(status: u16) -> bool {
    matches!(status, 429 | 502..=504)
}

fn unexpected(url: &str, status: u16, what: String) -> ClientError {
    ClientError::Unexpected { url: url.to_owned(), status, what }
}

fn problem(body: &[u8]) -> Option<Problem> {
    serde_json::from_slice(body).ok()
}

/// As much of a strange body as an operator can read.
fn beginning(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    if text.is_empty() { "it says nothing".to_owned() } else { text }
}

/// Seconds, the one form that Sealbus sends; a proxy's date is passed over.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
