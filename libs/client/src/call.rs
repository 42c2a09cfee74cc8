//! A request to the service, independent of the URL that it is sent to.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;

use crate::ClientError;

/// A request. Every attempt sends the same one.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// Calls with the same affinity try the same URL first.
    pub(crate) affinity: &'a str,
    /// The time that an attempt may take in addition to the attempt timeout.
    pub(crate) extra_time: Duration,
}

impl<'a> Call<'a> {
    pub(crate) fn get<const N: usize>(path: [&'a str; N]) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            affinity: "",
            extra_time: Duration::ZERO,
        }
    }

    pub(crate) fn post<const N: usize>(
        path: [&'a str; N],
        media_type: &'static str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<Self, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ClientError::Usage(format!("the events cannot be serialised as JSON: {error}")))?;
        let call = Self::get(path).header(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Ok(Self { method: Method::POST, body: Some(body.into()), ..call })
    }

    pub(crate) fn affinity(mut self, key: &'a str) -> Self {
        self.affinity = key;
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

    /// Returns the URL of this request below `base`.
    pub(crate) fn url(&self, base: &Url) -> Result<Url, ClientError> {
        // `Url` silently drops such segments, which would make it another request.
        if self.path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(ClientError::Usage("the name of a plan must not be empty, `.` or `..`".to_owned()));
        }
        let mut url = base.clone();
        // `Client::new` accepts http and https URLs only.
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(&self.path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}
