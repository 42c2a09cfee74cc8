//! Opening streams, and ending those whose token is no longer valid.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::Tenant;
use sealbus_ledger::Ledger;
use sealbus_runtime::memory::{Budget, Reservation};
use sealbus_runtime::net::Connection;
use tokio_util::sync::CancellationToken;

use super::hub::{Hub, Source};
use super::sse::Stream;
use crate::auth::{Caller, Token, Tokens};
use crate::http::{Counted, Parameters, Problem, parse_number, single_header};
use crate::metrics::Metrics;
use crate::read::Reading;

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
    /// The memory for events that are read for streams and written to them. Tokens share it.
    pub memory: Budget,
    /// The open streams.
    pub open: OpenStreams,
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
        let (feed, next) = self.hub.follow(&source).await?;
        if after.is_some_and(|after| after > 0 && after >= next) {
            let detail =
                "the stream has no event at this position; resume after one that it has, or without a position";
            return Err(Problem::new(ErrorKind::InvalidCursor, detail));
        }
        let position = after.map_or(next, |after| after + 1);
        let open = OpenStream {
            token: Arc::clone(&caller.token),
            ended: CancellationToken::new(),
            streams: Arc::clone(self),
            id: self.open.next_id.fetch_add(1, Ordering::Relaxed),
            _place: place,
            _counted: Counted::new(&self.metrics.streams),
        };
        let entry = Entry { token: Arc::clone(&open.token), ended: open.ended.clone(), connection };
        self.open.entries().insert(open.id, entry);
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

    /// Ends the streams whose tokens are no longer valid, looking for them at each interval. Returns when `shutdown` fires.
    ///
    /// A stream that is still open one interval later is stalled, because its client does not read: its connection is closed.
    pub(crate) async fn end_revoked(&self, interval: Duration, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            for entry in self.open.entries().values().filter(|entry| !self.tokens.is_still_valid(&entry.token)) {
                if entry.ended.is_cancelled() {
                    entry.connection.close();
                }
                entry.ended.cancel();
            }
        }
    }
}

/// The open streams of a replica.
#[derive(Default)]
pub(crate) struct OpenStreams {
    entries: Mutex<HashMap<u64, Entry>>,
    next_id: AtomicU64,
}

struct Entry {
    token: Arc<Token>,
    ended: CancellationToken,
    connection: Connection,
}

impl OpenStreams {
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().expect("the lock is only held to find, add and remove streams")
    }
}

/// The place of an open stream, which is given back on drop.
pub(super) struct OpenStream {
    pub token: Arc<Token>,
    /// Fires when the stream ends because its token is no longer valid.
    pub ended: CancellationToken,
    pub streams: Arc<Streams>,
    id: u64,
    _place: Reservation,
    _counted: Counted,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.open.entries().remove(&self.id);
    }
}
