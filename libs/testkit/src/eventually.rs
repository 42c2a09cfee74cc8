//! Waiting for what is bound to happen.

use std::time::{Duration, Instant};

/// How long the slowest machine is given.
const PATIENCE: Duration = Duration::from_mins(3);

/// Asks until the answer is yes.
///
/// # Panics
/// After three minutes of no, naming `what` was waited for.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "waited three minutes in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
