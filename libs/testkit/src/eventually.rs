//! Waiting for what is bound to happen.

use std::time::{Duration, Instant};

/// How long the slowest machine is given.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks until the answer is yes.
///
/// # Panics
/// After a minute of no, naming `what` was waited for.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "waited a minute in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
