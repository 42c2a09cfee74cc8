//! A connection that never goes back to its pool with work in flight.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::Lane;

/// A connection that a lane lent. It is closed when it is dropped, unless it was released.
///
/// Work that writes more than fits into the buffers of a socket needs it. The pool waits without a limit until what was begun is
/// written, so that on a frozen connection the place in the lane would be lost.
#[derive(Debug)]
pub struct LentConnection(Option<PoolConnection<Postgres>>);

impl LentConnection {
    /// Takes a connection of a lane.
    pub async fn acquire(lane: &Lane) -> Result<Self, sqlx::Error> {
        Ok(Self(Some(lane.acquire().await?)))
    }

    /// Gives the connection back to its pool. Nothing may be in flight on it.
    pub fn release(mut self) {
        drop(self.0.take());
    }
}

impl Deref for LentConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_deref().expect("the connection is taken only where its owner ends")
    }
}

impl DerefMut for LentConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_deref_mut().expect("the connection is taken only where its owner ends")
    }
}

impl Drop for LentConnection {
    fn drop(&mut self) {
        // A detached connection closes its socket at once, without waiting for the server.
        drop(self.0.take().map(PoolConnection::detach));
    }
}
