//! A witness cosigns a checkpoint of a log only if it continues every checkpoint that the witness has cosigned before
//! (c2sp.org/tlog-witness).
//!
//! A log can show two readers different histories, each with valid signatures, and neither reader can detect this
//! alone. A witness can, because it remembers the last tree of each log that it cosigned. Its value depends on its
//! independence from the log's operator. It therefore needs neither ledger nor broker, only a key, a policy that names
//! the logs to follow, and a folder.
//!
//! `server` reads a request within its limits, [`Witness`] decides by the rules of `sealbus_core::log::witness`, and
//! `folder` writes the new tree to the disk before the cosignature is returned. All state that matters is in the
//! folder, which one process at a time may use.

mod folder;
mod metrics;
mod server;
mod witness;

use std::time::Duration;

use sealbus_runtime::memory::Budget;
use sealbus_runtime::net::{self, ConnectionLimits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::folder::FolderError;
pub use crate::metrics::Metrics;
pub use crate::witness::{NotCosigned, Witness, WitnessError};

/// The limits of a witness's HTTP server.
pub struct Config {
    /// The socket to serve.
    pub listener: TcpListener,
    /// What clients are granted: their number, and how long they may take.
    pub limits: ConnectionLimits,
    /// The memory for request bodies, each of at most 516 KiB. The addresses of clients share it.
    pub memory: Budget,
    /// How long a body waits for memory. Keep it below `body_timeout`, so that exhausted memory is answered as overload.
    pub memory_timeout: Duration,
    /// The timeout for each of two steps: until the body has arrived, and until its request can be decided.
    pub body_timeout: Duration,
    /// The number of requests that may be decided at a time.
    pub max_decisions: usize,
}

impl Config {
    /// Returns a configuration with 2 s for memory, 10 s for a body and at most 64 decisions at a time.
    pub fn new(listener: TcpListener, limits: ConnectionLimits, memory: Budget) -> Self {
        let (memory_timeout, body_timeout) = (Duration::from_secs(2), Duration::from_secs(10));
        Self { listener, limits, memory, memory_timeout, body_timeout, max_decisions: 64 }
    }
}

/// The witness to serve, and its metrics.
pub struct Resources {
    /// The witness.
    pub witness: Witness,
    /// The metrics.
    pub metrics: Metrics,
}

/// Serves requests until `shutdown` is cancelled, and then answers those in flight.
///
/// # Errors
/// If the folder cannot be written. It is then unknown what is on the disk, so the process has to end; the next start
/// reads the folder again.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), FolderError> {
    let Config { listener, limits, memory, memory_timeout, body_timeout, max_decisions } = config;
    let (router, mut failures) = server::router(resources, memory, memory_timeout, body_timeout, max_decisions);
    let ending = shutdown.child_token();
    let serving = net::serve(listener, router, limits, ending.clone());
    let first_failure = async {
        let failure = failures.recv().await;
        ending.cancel();
        failure
    };
    // When serving ends, the router is dropped, and with it the sender of the channel.
    let ((), failure) = tokio::join!(serving, first_failure);
    failure.map_or(Ok(()), Err)
}
