//! Shutdown on SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that fires at the first SIGTERM or SIGINT. A second signal ends the process at once, with the status 128 plus
/// the number of the signal. No event is lost by that: the ledger has the work in flight, or its caller gets no answer.
///
/// Must be called inside a tokio runtime. Fails if the signal handlers cannot be installed.
pub fn shutdown_on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            };
            if token.is_cancelled() {
                tracing::warn!(signal = number, "second signal received; exiting at once");
                std::process::exit(128 + number);
            }
            tracing::info!(signal = number, "signal received; finishing the work in flight");
            token.cancel();
        }
    });
    Ok(shutdown)
}
