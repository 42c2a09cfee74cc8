//! Streams of events as they are published (docs/spec/interface.md#stream).

use std::collections::VecDeque;

use futures::stream::{self, Stream};
use reqwest::Response;
use reqwest::header::{ACCEPT, HeaderName, HeaderValue};
use sealbus_core::error_chain;

use crate::call::Call;
use crate::sse::{Message, Parser};
use crate::transport::Pauses;
use crate::{Client, ClientError, Event};

/// The events to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The events of one plan in order of seq, each as soon as it is committed.
    Plan(String),
    /// All events of the tenant in log order, each as soon as it is sealed.
    All,
}

impl Client {
    /// Returns a stream of the events after `after`, which is a seq for [`Scope::Plan`] and a log index for
    /// [`Scope::All`]. If `after` is `None`, the stream starts with the next new event. It ends only with an error.
    ///
    /// If the connection breaks, or is silent for the [idle timeout](crate::ClientConfig::stream_idle_timeout), the client
    /// connects again and resumes after the last event that it received.
    ///
    /// # Errors
    /// The stream ends with an error if the service refuses the request, or cannot be reached within the
    /// [retry budget](crate::ClientConfig::retry_budget).
    pub fn tail(&self, scope: Scope, after: Option<u64>) -> impl Stream<Item = Result<Event, ClientError>> + use<> {
        let tail = Tail {
            pauses: Pauses::new(self.inner.config.first_retry_delay),
            client: self.clone(),
            scope,
            last_id: after.map(|after| after.to_string()),
            connection: None,
            queue: VecDeque::new(),
        };
        stream::try_unfold(tail, async |mut tail| Ok(Some((tail.next().await?, tail))))
    }
}

struct Tail {
    client: Client,
    scope: Scope,
    /// The id after which the stream starts, or resumes after a break.
    last_id: Option<String>,
    connection: Option<(Response, Parser)>,
    /// Messages that were received but not yet returned.
    queue: VecDeque<Message>,
    pauses: Pauses,
}

impl Tail {
    async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                self.pauses.reset();
                return serde_json::from_str(&message.data).map_err(|error| {
                    unexpected(format!("the message with id {} is not an event: {error}", message.id))
                });
            }
            if let Err(reason) = self.read().await? {
                tracing::debug!(reason, "event stream broke; opening it again");
                self.connection = None;
                tokio::time::sleep(self.pauses.next()).await;
            }
        }
    }

    /// Waits for the next bytes of the stream, and opens the stream first if necessary. The inner error is the reason why the
    /// stream broke.
    async fn read(&mut self) -> Result<Result<(), String>, ClientError> {
        let (response, parser) = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let response = self.open().await?;
            self.connection.insert((response, Parser::default()))
        };
        let idle_timeout = self.client.inner.config.stream_idle_timeout;
        Ok(match tokio::time::timeout(idle_timeout, response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.queue.extend(parser.push(&bytes).map_err(|error| unexpected(error.to_string()))?);
                if !parser.last_id().is_empty() {
                    self.last_id = Some(parser.last_id().to_owned());
                }
                Ok(())
            }
            Ok(Ok(None)) => Err("the service closed it".to_owned()),
            Ok(Err(error)) => Err(error_chain(&error.without_url())),
            Err(_) => Err(format!("it was silent for {idle_timeout:?}")),
        })
    }

    async fn open(&self) -> Result<Response, ClientError> {
        let call = match &self.scope {
            Scope::Plan(plan) => Call::get(["v1", "plans", plan, "events", "stream"]).affinity(plan),
            Scope::All => Call::get(["v1", "events", "stream"]),
        };
        let mut call = call.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = &self.last_id {
            let id = HeaderValue::from_str(id)
                .map_err(|_| ClientError::Usage("the stream sent an id that a header cannot have".to_owned()))?;
            call = call.header(HeaderName::from_static("last-event-id"), id);
        }
        self.client.open_stream(&call).await
    }
}

/// Returns the error of a stream that is not one of Sealbus.
fn unexpected(problem: String) -> ClientError {
    ClientError::Unexpected { url: "the event stream".to_owned(), status: 200, problem }
}
