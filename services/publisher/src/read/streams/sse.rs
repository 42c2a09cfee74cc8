//! One stream: it sends events from its position on, and a heartbeat while no event comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::Record;
use sealbus_core::names::Tenant;
use sealbus_ledger::{Ledger, LedgerError};
use sealbus_runtime::memory::{Budget, Reservation};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, FeedRead};
use super::hub::{Hub, Source};
use crate::auth::{Caller, Token, Tokens};
use crate::http::{Counted, Parameters, Problem, parse_number, single_header};
use crate::metrics::Metrics;
use crate::read::Reading;

/// The number of events that a stream holds in memory.
const QUEUE_LENGTH: u32 = 64;

/// Reads the position after which a stream starts: the `Last-Event-ID` header, or else the parameter `after`. Returns
/// `None` for a stream that starts now.
///
/// The header takes precedence, because a client that reconnects sends it with the URL of its first request.
pub(crate) fn resume_position(headers: &HeaderMap, parameters: &mut Parameters) -> Result<Option<u64>, Refused> {
    let after = parameters.number("after")?;
    match single_header(headers, "last-event-id")?.filter(|id| !id.is_empty()) {
        None => Ok(after),
        Some(id) => parse_number(&id).map(Some).ok_or_else(|| {
            let detail = "must be the id of an event of this stream, a non-negative integer";
            Refused::field(ErrorKind::InvalidField, "Last-Event-ID", "type", detail)
        }),
    }
}

/// Opens streams.
pub(crate) struct Streams {
    /// Feeds the streams.
    pub hub: Arc<Hub>,
    /// Holds the events that are no longer in a feed.
    pub ledger: Ledger,
    /// Decides what the client sees of an event.
    pub reading: Reading,
    /// The tokens in effect. A stream ends when its token is no longer valid.
    pub tokens: Tokens,
    /// The places for open streams, one byte for each. Tokens share them.
    pub places: Budget,
    /// The interval of heartbeats on a stream without events.
    pub heartbeat_interval: Duration,
    /// Ends all streams.
    pub shutdown: CancellationToken,
    /// The counters.
    pub metrics: Metrics,
}

impl Streams {
    /// Opens a stream of the events after position `after`, or of new events. A stream of the log is restricted to the given
    /// tenants, if there are any.
    ///
    /// # Errors
    /// `overloaded` if the replica has no place left for a further stream of the token, `ledger_unavailable`.
    pub(crate) async fn open(
        self: &Arc<Self>,
        caller: &Caller,
        source: Source,
        tenants: Option<Vec<Tenant>>,
        after: Option<u64>,
    ) -> Result<Response, Problem> {
        let place = self.places.try_reserve(&caller.token.name, 1).map_err(|_| {
            Problem::new(ErrorKind::Overloaded, "this replica has no further stream for this token; retry later")
        })?;
        let (feed, next) = self.hub.follow(&source).await?;
        let mut heartbeat = interval_at(Instant::now() + self.heartbeat_interval, self.heartbeat_interval);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stream = Stream {
            position: after.map_or(next, |after| after.saturating_add(1)),
            new_events: feed.subscribe(),
            heartbeat,
            token: Arc::clone(&caller.token),
            queue: VecDeque::new(),
            plan_no: None,
            _place: place,
            _open: Counted::new(&self.metrics.streams),
            streams: Arc::clone(self),
            feed,
            source,
            tenants,
        };
        // A client that loses the stream before its first event reconnects with this id, and so resumes at the start of the
        // stream. A stream of an empty log has no position to name.
        let id = stream.position.checked_sub(1).map_or_else(String::new, |before| format!("id: {before}\n"));
        let opening = format!(": the stream is open\nretry: 1000\n{id}\n");
        let opening = stream::iter([Ok::<_, Infallible>(Bytes::from(opening))]);
        let frames = stream::unfold(stream, |mut stream| async move { Some((Ok(stream.next_frame().await?), stream)) });
        // Without the second header nginx buffers the response, and the client receives nothing.
        let headers = [("content-type", "text/event-stream"), ("x-accel-buffering", "no")];
        Ok((headers, Body::from_stream(opening.chain(frames))).into_response())
    }
}

/// An open stream.
struct Stream {
    streams: Arc<Streams>,
    source: Source,
    tenants: Option<Vec<Tenant>>,
    token: Arc<Token>,
    feed: Arc<Feed>,
    new_events: watch::Receiver<u64>,
    heartbeat: Interval,
    /// The position of the next event to send.
    position: u64,
    queue: VecDeque<Arc<Record>>,
    plan_no: Option<i64>,
    _place: Reservation,
    _open: Counted,
}

impl Stream {
    /// Returns the next bytes to send, or `None` when the stream ends: on shutdown, or when the token is no longer valid.
    async fn next_frame(&mut self) -> Option<Bytes> {
        loop {
            // Whether there is nothing to send before something changes.
            let must_wait = if let Some(record) = self.queue.front().cloned() {
                match self.event_frame(record).await {
                    Ok(frame) => {
                        self.queue.pop_front();
                        if frame.is_some() {
                            return frame;
                        }
                        continue;
                    }
                    // The ledger, which holds the key of the event, is unreachable.
                    Err(_) => true,
                }
            } else {
                match self.feed.read(self.position, QUEUE_LENGTH as usize) {
                    FeedRead::Records(records) => {
                        self.queue = records.into();
                        false
                    }
                    FeedRead::CaughtUp => true,
                    FeedRead::Behind(oldest) => self.read_ledger(oldest).await.is_err(),
                }
            };
            if self.is_over() {
                return None;
            }
            if must_wait && let Some(heartbeat) = self.wait().await {
                return Some(heartbeat);
            }
        }
    }

    /// Returns the frame of an event, or `None` if the stream filters it out. An envelope is opened only now, so that an
    /// erasure takes effect on queued events.
    async fn event_frame(&mut self, record: Arc<Record>) -> Result<Option<Bytes>, LedgerError> {
        let Some(position) = self.position_of(&record) else { return Ok(None) };
        let view =
            if self.selects(&record) { self.streams.reading.views(&self.token, [record]).await?.pop() } else { None };
        self.position = position + 1;
        Ok(view.map(|view| {
            self.streams.metrics.streamed_events.inc();
            let event = serde_json::to_string(&view).expect("all members of an event have a JSON form");
            Bytes::from(format!("id: {position}\ndata: {event}\n\n"))
        }))
    }

    fn is_over(&self) -> bool {
        self.streams.shutdown.is_cancelled() || !self.streams.tokens.is_still_valid(&self.token)
    }

    /// Waits for new events, shutdown or the next heartbeat. Returns the heartbeat's frame if it is due.
    async fn wait(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.streams.shutdown.cancelled() => None,
            _ = self.heartbeat.tick() => Some(Bytes::from_static(b": still here\n\n")),
            // The sender lives as long as the feed, which this stream holds.
            _ = self.new_events.changed() => None,
        }
    }

    /// Reads events that are no longer in the feed, which begins at position `oldest`, from the ledger.
    async fn read_ledger(&mut self, oldest: u64) -> Result<(), LedgerError> {
        let history = self.streams.ledger.history();
        let (records, next) = match &self.source {
            Source::Log => {
                let page = history.log_page(self.tenants.as_deref(), self.position, QUEUE_LENGTH).await?;
                (page.records, page.next)
            }
            Source::Plan(tenant, plan) => {
                if self.plan_no.is_none() {
                    self.plan_no = history.plan_no(tenant.as_str(), plan.as_str()).await?;
                }
                let records = match self.plan_no {
                    Some(plan_no) => {
                        history.range(plan_no, self.position, oldest.saturating_sub(1), QUEUE_LENGTH).await?
                    }
                    None => Vec::new(),
                };
                (records, None)
            }
        };
        if records.is_empty() {
            // All events up to the next page, or up to the feed, belong to tenants that the stream filters out.
            self.position = next.map_or(oldest, |next| next.min(oldest));
        }
        self.queue = records.into_iter().map(Arc::new).collect();
        Ok(())
    }

    fn position_of(&self, record: &Record) -> Option<u64> {
        match self.source {
            Source::Log => record.log_index,
            Source::Plan(..) => Some(record.header.seq),
        }
    }

    fn selects(&self, record: &Record) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.iter().any(|tenant| tenant.as_str() == record.header.tenant))
    }
}
