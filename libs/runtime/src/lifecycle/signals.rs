//! SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that fires at the first SIGTERM or SIGINT. The second ends the process at once, with 128 and the signal's
/// number as its status; whatever it had in hand is found again, since the ledger has it or the caller got no answer.
///
/// Errors where the signals cannot be listened to. Has to be called inside a tokio runtime.
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
                tracing::warn!(signal = number, "told to stop again: ending at once");
                std::process::exit(128 + number);
            }
            tracing::info!(signal = number, "told to stop: finishing what is under way");
            token.cancel();
        }
    });
    Ok(shutdown)
}
