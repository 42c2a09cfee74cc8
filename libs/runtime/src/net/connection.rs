//! A server's connections: what each of them does, and closing one from outside.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::network;

/// The connection of a request. [`serve`](super::serve) adds it to the extensions of each request. Clones name the same one.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    peer: IpAddr,
    /// Fires when the connection is closed at once.
    closed: CancellationToken,
    /// Fires when the connection is closed after the request in flight.
    retired: CancellationToken,
    activity: Mutex<Activity>,
    /// See [`Connection::watch`]. Also notified when a connection does not end although it was to be closed.
    idle: Arc<Notify>,
}

/// What a connection does. Of several connections, the one with the lowest value is the first to be closed for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    /// The connection is open since then, and no request has arrived.
    Unanswered(Instant),
    /// The last answer was written then.
    Idle(Instant),
    /// A request is received or answered.
    InFlight {
        since: Instant,
        /// Whether the answer is complete, and only has to be written to the socket.
        is_buffered: bool,
        /// See [`Connection::watch`].
        is_watched: bool,
    },
}

impl Activity {
    pub(super) fn is_idle(self) -> bool {
        !matches!(self, Self::InFlight { .. })
    }
}

impl Connection {
    pub(super) fn new(peer: IpAddr, idle: Arc<Notify>) -> Self {
        let activity = Mutex::new(Activity::Unanswered(Instant::now()));
        let (closed, retired) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(Shared { peer, closed, retired, activity, idle }))
    }

    /// Returns the address of the peer, which is a proxy if there is one in between.
    pub fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// Returns the network of the peer, which counts as one caller.
    pub(super) fn network(&self) -> IpAddr {
        network(self.peer())
    }

    /// Closes the connection, also if an answer is being written. The rest of the answer is lost.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Returns when the connection is to be closed at once.
    pub(super) async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Returns when the connection is to be closed after the request in flight.
    pub(super) async fn retired(&self) {
        self.0.retired.cancelled().await;
    }

    /// Closes the connection for a new one, at once unless it was `Idle` when it was chosen. Returns whether it ends now: an `Idle` one
    /// still answers a request that arrives at this very moment.
    pub(super) fn evict(&self, chosen: Activity) -> bool {
        if matches!(chosen, Activity::Idle(_)) {
            self.0.retired.cancel();
            self.activity().is_idle()
        } else {
            self.close();
            true
        }
    }

    /// Marks the connection as busy, until the result was dropped and all that was buffered is written.
    pub(super) fn begin_request(&self) -> InFlight {
        match &mut *self.activity() {
            // The answer to the request before is not written yet.
            Activity::InFlight { is_buffered, .. } => *is_buffered = false,
            idle => *idle = Activity::InFlight { since: Instant::now(), is_buffered: false, is_watched: false },
        }
        if self.0.retired.is_cancelled() {
            self.0.idle.notify_one();
        }
        InFlight(self.clone())
    }

    /// Notes that all that was buffered is written to the socket.
    pub(super) fn flushed(&self) {
        let mut activity = self.activity();
        if let Activity::InFlight { is_buffered: true, is_watched, .. } = *activity {
            *activity = Activity::Idle(Instant::now());
            drop(activity);
            if is_watched {
                self.0.idle.notify_one();
            }
        }
    }

    /// Returns what the connection does. If a request is in flight, the server is notified when the connection becomes idle.
    pub(super) fn watch(&self) -> Activity {
        let mut activity = self.activity();
        if let Activity::InFlight { is_watched, .. } = &mut *activity {
            *is_watched = true;
        }
        *activity
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().expect("the lock is only held to read and set the activity")
    }
}

/// A request in flight, from its head until the end of its answer is buffered.
pub(super) struct InFlight(Connection);

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Activity::InFlight { is_buffered, .. } = &mut *self.0.activity() {
            *is_buffered = true;
        }
    }
}

/// The body of an answer. hyper drops it once its end is buffered.
pub(super) struct AnswerBody {
    pub body: Body,
    pub _in_flight: InFlight,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
