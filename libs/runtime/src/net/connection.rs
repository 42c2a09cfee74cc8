//! A server's connections: which of them are idle, and closing one from outside.

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
    /// Notified when a connection of the server becomes idle, or does not end although it was to be closed.
    idle: Arc<Notify>,
}

#[derive(Debug)]
struct Activity {
    /// Whether a request was answered on the connection.
    has_answered: bool,
    request: Request,
}

/// What a connection does.
#[derive(Debug)]
enum Request {
    /// No request is in flight since then.
    Idle(Instant),
    /// A request is received or answered.
    InFlight,
    /// The answer is complete, and not all of it is written to the socket.
    Buffered,
}

impl Connection {
    pub(super) fn new(peer: IpAddr, idle: Arc<Notify>) -> Self {
        let activity = Mutex::new(Activity { has_answered: false, request: Request::Idle(Instant::now()) });
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

    /// Closes an idle connection. Returns whether it ends now: a request that arrives at this very moment is still answered, unless
    /// it is the first one.
    pub(super) fn retire(&self) -> bool {
        if self.activity().has_answered {
            self.0.retired.cancel();
            self.idleness().is_some()
        } else {
            self.close();
            true
        }
    }

    /// Marks the connection as busy, until the result was dropped and all that was buffered is written.
    pub(super) fn begin_request(&self) -> InFlight {
        self.activity().request = Request::InFlight;
        if self.0.retired.is_cancelled() {
            self.0.idle.notify_one();
        }
        InFlight(self.clone())
    }

    /// Notes that all that was buffered is written to the socket.
    pub(super) fn flushed(&self) {
        let mut activity = self.activity();
        if matches!(activity.request, Request::Buffered) {
            *activity = Activity { has_answered: true, request: Request::Idle(Instant::now()) };
            drop(activity);
            self.0.idle.notify_one();
        }
    }

    /// Returns whether a request was answered on an idle connection, and since when it is idle. `None` while a request is in flight.
    pub(super) fn idleness(&self) -> Option<(bool, Instant)> {
        let activity = self.activity();
        match activity.request {
            Request::Idle(since) => Some((activity.has_answered, since)),
            Request::InFlight | Request::Buffered => None,
        }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().expect("the lock is only held to read and set two fields")
    }
}

/// A request in flight, from its head until the end of its answer is buffered.
pub(super) struct InFlight(Connection);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.activity().request = Request::Buffered;
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
