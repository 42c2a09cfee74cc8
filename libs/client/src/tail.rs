//! Following events as they happen.

use std::collections::VecDeque;

use futures::stream::{self, Stream};
use reqwest::Response;
use reqwest::header::{ACCEPT, HeaderName, HeaderValue};
use sealbus_core::error_chain;

use crate::client::Client;
use crate::error::ClientError;
use crate::event::Event;
use crate::retry::Pauses;
use crate::sse::{Message, Parser};
use crate::transport::Call;

/// What to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One plan, in its order.
    Plan(String),
    /// All plans of the tenant, in log order: an event comes when it is sealed.
    All,
}

impl Client {
    /// The events after `after` (a seq of the plan, or a log index) and then those to come, for as long as it is polled;
    /// without it, those from now on.
    ///
    /// A stream that breaks, or says nothing for [too long](crate::ClientConfig::silence), is opened anew where it
    /// stopped, so that none is left out. It ends with an error when the service refuses, or stays away for longer than
    /// the patience.
    pub fn tail(&self, scope: Scope, after: Option<u64>) -> impl Stream<Item = Result<Event, ClientError>> + use<> {
        let tail = Tail {
            pauses: Pauses::new(self.inner.config.pause),
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
    /// Where the stream begins, and where it goes on after a break.
    last_id: Option<String>,
    connection: Option<(Response, Parser)>,
    /// What has come and was not asked for yet.
    queue: VecDeque<Message>,
    pauses: Pauses,
}

impl Tail {
    async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                self.pauses.reset();
                return serde_json::from_str(&message.data).map_err(|error| ClientError::Unexpected {
                    url: "the event stream".to_owned(),
                    status: 200,
                    what: format!("after {} came what is no event: {error}", message.id),
                });
            }
            if let Err(why) = self.read().await? {
                tracing::debug!(why, "an event stream broke");
                self.connection = None;
                tokio::time::sleep(self.pauses.next()).await;
            }
        }
    }

    /// Waits for the next piece of the stream, opening it first where it is not open. The inner error says why it broke.
    async fn read(&mut self) -> Result<Result<(), String>, ClientError> {
        let (response, parser) = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let response = self.open().await?;
            self.connection.insert((response, Parser::default()))
        };
        let silence = self.client.inner.config.silence;
        Ok(match tokio::time::timeout(silence, response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.queue.extend(parser.push(&bytes));
                if !parser.last_id().is_empty() {
                    self.last_id = Some(parser.last_id().to_owned());
                }
                Ok(())
            }
            Ok(Ok(None)) => Err("it was closed".to_owned()),
            Ok(Err(error)) => Err(error_chain(&error.without_url())),
            Err(_) => Err(format!("nothing came for {silence:?}")),
        })
    }

    async fn open(&self) -> Result<Response, ClientError> {
        let call = match &self.scope {
            Scope::Plan(plan) => Call::get(["v1", "plans", plan, "events", "stream"]).affinity(plan),
            Scope::All => Call::get(["v1", "events", "stream"]),
        };
        let call = call.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let call = match &self.last_id {
            None => call,
            Some(id) => {
                let id = HeaderValue::from_str(id)
                    .map_err(|_| ClientError::Usage("the stream gave an id that no header can hold".to_owned()))?;
                call.header(HeaderName::from_static("last-event-id"), id)
            }
        };
        self.client.stream(&call).await
    }
}
