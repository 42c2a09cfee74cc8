//! A witness: cosigns a log's checkpoints as long as each continues all that it saw before (c2sp.org/tlog-witness).
//!
//! Two readers can be shown two histories of one log, each with valid signatures, and neither can tell alone. A witness can:
//! it remembers the last tree of the log that it cosigned, and nothing makes it cosign another one that does not continue it.
//! It is worth as much as it is out of the log's hands, so it needs neither ledger nor broker: a key, a policy that says
//! which logs it follows, and a folder.
//!
//! A request's way: `server` reads its body within its caps, [`Witness`] decides by the rules of `sealbus_core::log::witness`,
//! and `folder` has the new tree on the disk before the cosignature leaves. The folder is the witness: a process holds nothing
//! that is not in it, and one folder has one process.

mod folder;
mod metrics;
mod server;
mod witness;

use std::time::Duration;

use sealbus_runtime::net::{self, ConnectionTimeouts};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::folder::FolderError;
pub use crate::metrics::Metrics;
pub use crate::witness::{NotCosigned, Witness, WitnessError};

/// How a witness serves.
pub struct Config {
    /// Where it listens.
    pub listener: TcpListener,
    /// How long a caller may take with the headers of a request, and once the witness is told to stop with its call.
    pub timeouts: ConnectionTimeouts,
    /// How long a request may wait for room, and then its body take to come in.
    pub body_time: Duration,
    /// Bodies that may be in hand at once, each of at most 516 KiB.
    pub bodies: usize,
}

impl Config {
    /// The default settings: 10 s for a body, 64 of them at once.
    pub fn new(listener: TcpListener, timeouts: ConnectionTimeouts) -> Self {
        Self { listener, timeouts, body_time: Duration::from_secs(10), bodies: 64 }
    }
}

/// What a witness is given, open already.
pub struct Resources {
    /// What decides and remembers.
    pub witness: Witness,
    /// What is counted.
    pub metrics: Metrics,
}

/// Serves until `shutdown` fires; then takes no more, answers the calls that are under way, and ends.
///
/// # Errors
/// Where the folder cannot be written: what the disk holds is then in doubt, and only a new start reads it again.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), FolderError> {
    let Config { listener, timeouts, body_time, bodies } = config;
    let (router, mut failures) = server::router(resources, bodies, body_time);
    let ending = shutdown.child_token();
    let serving = net::serve(listener, router, timeouts, ending.clone());
    let failing = async {
        let failure = failures.recv().await;
        ending.cancel();
        failure
    };
    // The router, and with it the other end of the channel, is gone when the serving ends.
    let ((), failure) = tokio::join!(serving, failing);
    failure.map_or(Ok(()), Err)
}
