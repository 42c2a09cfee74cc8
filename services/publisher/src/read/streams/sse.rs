//! One stream: it sends events from its position on, and a heartbeat while no event comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt as _, StreamExt as _, stream};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::names::Tenant;
use sealbus_ledger::LedgerError;
use sealbus_ledger::history::MAX_READ_BYTES;
use sealbus_runtime::memory::Reservation;
use sealbus_runtime::net::Connection;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::feed::{Feed, FeedRead};
use super::hub::Source;
use super::opening::{OpenStream, Streams};
use crate::auth::Caller;
use crate::http::{Problem, held_bytes};

/// The number of events that a stream reads from the ledger at a time.
const EVENTS_PER_QUERY: u32 = 64;
/// The memory that an event takes in addition to its payload and metadata, in bytes, as a record or as text.
const OVERHEAD_BYTES: usize = 1_024;

/// The bytes of a heartbeat.
const HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");

impl Streams {
    /// Opens a stream of the events after position `after`, or of new events. A stream of the log is restricted to the given
    /// tenants, if there are any.
    ///
    /// # Errors
    /// `overloaded` if the replica has no place left for a further stream of the token, `invalid_cursor` if there is no event at
    /// position `after` yet, `ledger_unavailable`.
    pub(crate) async fn open(
        self: &Arc<Self>,
        caller: &Caller,
        connection: Connection,
        source: Source,
        tenants: Option<Vec<Tenant>>,
        after: Option<u64>,
    ) -> Result<Response, Problem> {
        let place = self.places.try_reserve(&caller.token.name, 1).map_err(|_| {
            Problem::new(ErrorKind::Overloaded, "this replica has no further stream for this token; retry later")
        })?;
        let history = self.ledger.server_history().changes();
        let (feed, next) = self.hub.follow(&source).await?;
        if after.is_some_and(|after| after > 0 && after >= next) {
            let detail =
                "the stream has no event at this position; resume after one that it has, or without a position";
            return Err(Problem::new(ErrorKind::InvalidCursor, detail));
        }
        let position = after.map_or(next, |after| after + 1);
        let open = self.register(caller, connection, place, history);
        let stream = Stream::new(open, source, tenants, feed, position);
        // A client that loses the stream before its first event reconnects with this id, and so resumes at the start of the
        // stream. A stream of an empty log has no position to name.
        let id = position.checked_sub(1).map_or_else(String::new, |before| format!("id: {before}\n"));
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
    open: OpenStream,
    source: Source,
    tenants: Option<Vec<Tenant>>,
    feed: Arc<Feed>,
    new_events: watch::Receiver<u64>,
    heartbeat: Interval,
    /// The position of the next event to send.
    position: u64,
    queue: Queue,
    plan_no: Option<i64>,
}

/// Events that were read and not sent yet: one of the feed, or some of the ledger with the memory that they take.
#[derive(Default)]
struct Queue {
    records: VecDeque<Arc<Record>>,
    _memory: Option<Reservation>,
}

/// The next step of a stream.
enum Step {
    /// Sends these bytes.
    Send(Bytes),
    /// Goes on: there was an event that the stream filters out, or events were read.
    GoOn,
    /// Waits until something changes.
    Wait,
}

/// The reason for which a stream cannot go on now.
enum Blocked {
    /// There is no memory for what it would read or send.
    Memory,
    /// The ledger cannot be read.
    Ledger(LedgerError),
}

impl From<Refused> for Blocked {
    fn from(_: Refused) -> Self {
        Self::Memory
    }
}

impl From<LedgerError> for Blocked {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl Stream {
    /// Creates a stream whose first event is the one at `position`.
    fn new(open: OpenStream, source: Source, tenants: Option<Vec<Tenant>>, feed: Arc<Feed>, position: u64) -> Self {
        let interval = open.streams.heartbeat_interval;
        let mut heartbeat = interval_at(Instant::now() + interval, interval);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (new_events, queue) = (feed.subscribe(), Queue::default());
        Self { open, source, tenants, feed, new_events, heartbeat, position, queue, plan_no: None }
    }

    /// Returns the next bytes to send, or `None` when the stream ends: on shutdown, when the token is no longer valid, or when an
    /// event cannot be read although the ledger is reachable.
    async fn next_frame(&mut self) -> Option<Bytes> {
        while !self.is_over() {
            match self.step().await {
                Ok(Step::Send(frame)) => return Some(frame),
                Ok(Step::GoOn) => {}
                Err(Blocked::Ledger(error)) if !error.is_unreachable() => {
                    tracing::error!(error = %error_chain(&error), "stream cannot read its events and ends");
                    return None;
                }
                Ok(Step::Wait) | Err(Blocked::Ledger(_)) => {
                    if let Some(heartbeat) = self.wait().await {
                        return Some(heartbeat);
                    }
                }
                Err(Blocked::Memory) => {
                    // Other streams of the token may wait for the memory of the queue. Its events are read again.
                    self.queue = Queue::default();
                    if self.heartbeat.tick().now_or_never().is_some() {
                        return Some(HEARTBEAT);
                    }
                }
            }
        }
        None
    }

    async fn step(&mut self) -> Result<Step, Blocked> {
        if self.queue.records.is_empty() {
            match self.feed.read(self.position) {
                FeedRead::Record(record) => self.queue = Queue { records: [record].into(), _memory: None },
                FeedRead::CaughtUp => return Ok(Step::Wait),
                FeedRead::Behind(oldest) => {
                    self.read_ledger(oldest).await?;
                    return Ok(Step::GoOn);
                }
            }
        }
        let Some(record) = self.queue.records.front().cloned() else { return Ok(Step::GoOn) };
        let frame = self.event_frame(record).await?;
        self.queue.records.pop_front();
        Ok(frame.map_or(Step::GoOn, Step::Send))
    }

    /// Returns the frame of an event, or `None` if the stream filters it out. An envelope is opened only now, so that an
    /// erasure takes effect on queued events.
    async fn event_frame(&mut self, record: Arc<Record>) -> Result<Option<Bytes>, Blocked> {
        let Some(position) = self.position_of(&record) else { return Ok(None) };
        let mut frame = None;
        if self.selects(&record) {
            // The record, the record as it is shown, and its text, for which a buffer is doubled as it grows.
            let bytes = 4 * (record.content_bytes() + OVERHEAD_BYTES);
            let OpenStream { streams, token, .. } = &self.open;
            let memory = streams.memory.reserve(&token.name, bytes).await?;
            let views = streams.reading.views(token, [record]).await?;
            frame = views.first().map(|view| {
                streams.metrics.streamed_events.inc();
                let event = serde_json::to_string(view).expect("all members of an event have a JSON form");
                held_bytes(format!("id: {position}\ndata: {event}\n\n").into_bytes(), memory)
            });
        }
        self.position = position + 1;
        Ok(frame)
    }

    fn is_over(&self) -> bool {
        let OpenStream { streams, token, ended, history, .. } = &self.open;
        streams.shutdown.is_cancelled()
            || ended.is_cancelled()
            || !streams.tokens.is_still_valid(token)
            || streams.ledger.server_history().changes() != *history
    }

    /// Waits for new events, the end of the stream or the next heartbeat. Returns the heartbeat if it is due.
    async fn wait(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.open.streams.shutdown.cancelled() => None,
            () = self.open.ended.cancelled() => None,
            _ = self.heartbeat.tick() => Some(HEARTBEAT),
            // The sender lives as long as the feed, which this stream holds.
            _ = self.new_events.changed() => None,
        }
    }

    /// Reads events that are no longer in the feed, which begins at position `oldest`, from the ledger.
    async fn read_ledger(&mut self, oldest: u64) -> Result<(), Blocked> {
        let mut memory = self.open.streams.memory.reserve(&self.open.token.name, 2 * MAX_READ_BYTES).await?;
        let history = self.open.streams.ledger.history();
        let (records, next) = match &self.source {
            Source::Log => {
                let page = history.log_page(self.tenants.as_deref(), self.position, EVENTS_PER_QUERY).await?;
                (page.records, page.next)
            }
            Source::Plan(tenant, plan) => {
                if self.plan_no.is_none() {
                    self.plan_no = history.plan_no(tenant.as_str(), plan.as_str()).await?;
                }
                let records = match self.plan_no {
                    Some(plan_no) => {
                        history.range(plan_no, self.position, oldest.saturating_sub(1), EVENTS_PER_QUERY).await?
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
        memory.shrink_to(records.iter().map(|record| record.content_bytes() + OVERHEAD_BYTES).sum());
        self.queue = Queue { records: records.into_iter().map(Arc::new).collect(), _memory: Some(memory) };
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
