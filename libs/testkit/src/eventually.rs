//! Waiting for a condition, in place of sleeping.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// The longest wait: enough for the slowest machine that runs the tests.
const TIMEOUT: Duration = Duration::from_mins(3);
/// The pause between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` returns `true`. `what` completes the sentence "timed out waiting until …".
///
/// # Panics
/// After three minutes.
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    assert!(holds_in_time(condition).await, "timed out after {TIMEOUT:?} waiting until {what}");
}

/// Waits until `condition` returns `true`. Returns `false` if it does not within three minutes, for a caller that can say more about it
/// than [`eventually`].
pub async fn holds_in_time(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition().await {
        if started.elapsed() >= TIMEOUT {
            return false;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    true
}

/// Waits until `observe` returns `expected`. `what` names the observed value.
///
/// # Panics
/// After three minutes, with the value that was seen last.
pub async fn eventually_eq<T: PartialEq + Debug>(what: &str, expected: T, mut observe: impl AsyncFnMut() -> T) {
    let started = Instant::now();
    loop {
        let seen = observe().await;
        if seen == expected {
            return;
        }
        let waited = started.elapsed();
        assert!(waited < TIMEOUT, "timed out after {TIMEOUT:?}: {what} is {seen:?}, expected {expected:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
