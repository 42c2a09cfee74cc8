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
    /// Notified when a connection of the server becomes idle.
    idle: Arc<Notify>,
}

#[derive(Debug)]
struct Activity {
    /// Whether a request was answered on the connection.
    has_answered: bool,
    /// Since when no request is in flight; `None` while one is.
    idle_since: Option<Instant>,
}

impl Connection {
    pub(super) fn new(peer: IpAddr, idle: Arc<Notify>) -> Self {
        let activity = Mutex::new(Activity { has_answered: false, idle_since: Some(Instant::now()) });
        let (closed, retired) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(Shared { peer, closed, retired, activity, idle }))
    }

    /// Returns the address of the peer, which is a proxy if there is one in between.
    pub fn peer(&self) -> IpAddr {
        self.0.peer
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

    /// Closes an idle connection. A request that arrives at this very moment is still answered, unless it is the first one.
    pub(super) fn retire(&self) {
        if self.activity().has_answered {
            self.0.retired.cancel();
        } else {
            self.close();
        }
    }

    /// Marks the connection as busy until the result is dropped.
    pub(super) fn begin_request(&self) -> InFlight {
        self.activity().idle_since = None;
        InFlight(self.clone())
    }

    /// Returns a key by which idle connections are closed for new ones, lowest first: those without any answered request, then
    /// the others, and of these the longest idle. `None` while a request is in flight.
    pub(super) fn idleness(&self) -> Option<(bool, Instant)> {
        let activity = self.activity();
        activity.idle_since.map(|since| (activity.has_answered, since))
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().expect("the lock is only held to read and set two fields")
    }
}

/// A request in flight, from its head until its answer is written.
pub(super) struct InFlight(Connection);

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.0.activity() = Activity { has_answered: true, idle_since: Some(Instant::now()) };
        self.0.0.idle.notify_one();
    }
}

/// The body of an answer. Its request is in flight until it is written.
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
