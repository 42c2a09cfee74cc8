//! The open streams of a replica, where they start, and ending those whose token is no longer valid.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::http::HeaderMap;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_ledger::Ledger;
use sealbus_runtime::memory::{Budget, Reservation};
use sealbus_runtime::net::Connection;
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use crate::auth::{Caller, Token, Tokens};
use crate::http::{AnswerMemory, Counted, Parameters, parse_number, single_header};
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
    /// The memory for events that are read for streams and written to them.
    pub memory: AnswerMemory,
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
    /// Registers an open stream. Dropping the result removes it.
    pub(super) fn register(
        self: &Arc<Self>,
        caller: &Caller,
        connection: Connection,
        place: Reservation,
        history: u64,
    ) -> OpenStream {
        let open = OpenStream {
            token: Arc::clone(&caller.token),
            ended: CancellationToken::new(),
            streams: Arc::clone(self),
            history,
            id: self.open.next_id.fetch_add(1, Ordering::Relaxed),
            _place: place,
            _counted: Counted::new(&self.metrics.streams),
        };
        let entry = Entry { token: Arc::clone(&open.token), ended: open.ended.clone(), connection };
        self.open.entries().insert(open.id, entry);
        open
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
    /// The history of the database server at the start, as a number of changes. The stream ends when it changes.
    pub history: u64,
    id: u64,
    _place: Reservation,
    _counted: Counted,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.open.entries().remove(&self.id);
    }
}
