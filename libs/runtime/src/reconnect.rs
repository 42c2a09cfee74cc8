//! Trying again until the other side is there: for connections, at the start and after a loss.
//!
//! The one module that uses the `backoff` crate, which is flagged as unmaintained (RUSTSEC-2025-0012) and whose exception
//! `deny.toml` records. Retries of a delivery are rules of the domain, and live elsewhere.

use std::error::Error;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use sealbus_core::{duration, error_chain};
use tokio_util::sync::CancellationToken;

/// How long to wait between attempts, and when to stop making them.
#[derive(Clone, Copy, Debug)]
pub struct Reconnect {
    /// The pause after the first failure; each further one is half as long again, give or take half of it at random.
    pub initial: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How long to go on trying; `None` for ever.
    pub limit: Option<Duration>,
}

impl Default for Reconnect {
    /// From 100 ms up to 5 s, for ever.
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), longest: Duration::from_secs(5), limit: None }
    }
}

/// Why [`reconnect`] came back without what it was to bring.
#[derive(Debug, thiserror::Error)]
pub enum ReconnectError<E: Error + 'static> {
    /// The operation failed in a way that another attempt would not change.
    #[error("{what} failed")]
    Refused {
        /// What was attempted.
        what: String,
        /// The failure.
        source: E,
    },
    /// The limit has passed.
    #[error("{what} still failed after {}", duration::display(*limit))]
    GaveUp {
        /// What was attempted.
        what: String,
        /// The limit.
        limit: Duration,
        /// The last failure.
        source: E,
    },
    /// The process is being shut down.
    #[error("{what} was given up, since the process is stopping")]
    Stopped {
        /// What was attempted.
        what: String,
    },
}

/// Runs `attempt` until it succeeds, fails for good as `transient` tells, `shutdown` fires, or the limit passes.
///
/// Every failure is logged with `what`, so that an operator sees what the process is waiting for. An attempt under way
/// is dropped when `shutdown` fires.
pub async fn reconnect<T, E: Error + 'static, F: Future<Output = Result<T, E>>>(
    what: &str,
    policy: Reconnect,
    shutdown: &CancellationToken,
    transient: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ReconnectError<E>> {
    let mut pauses = ExponentialBackoff {
        initial_interval: policy.initial,
        current_interval: policy.initial,
        max_interval: policy.longest,
        max_elapsed_time: policy.limit,
        ..ExponentialBackoff::default()
    };
    let what = || what.to_owned();
    loop {
        let result = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(ReconnectError::Stopped { what: what() }),
            result = attempt() => result,
        };
        let source = match result {
            Ok(value) => return Ok(value),
            Err(error) if !transient(&error) => return Err(ReconnectError::Refused { what: what(), source: error }),
            Err(error) => error,
        };
        let Some(pause) = pauses.next_backoff() else {
            return Err(ReconnectError::GaveUp { what: what(), limit: policy.limit.unwrap_or_default(), source });
        };
        tracing::warn!(what = what(), error = %error_chain(&source), again_in = ?pause, "will try again");
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(ReconnectError::Stopped { what: what() }),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const FAST: Reconnect =
        Reconnect { initial: Duration::from_millis(1), longest: Duration::from_millis(2), limit: None };

    fn away() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[tokio::test]
    async fn tries_until_it_succeeds() {
        async fn connect(to: &str) -> (String, usize) {
            let (shutdown, mut attempts) = (CancellationToken::new(), 0);
            let attempt = || {
                attempts += 1;
                let answer = if attempts < 5 { Err(away()) } else { Ok(to.to_owned()) };
                async move { answer }
            };
            let value = reconnect("connecting", FAST, &shutdown, |_| true, attempt).await;
            (value.expect("in the end"), attempts)
        }
        // Spawned, since a role connects inside a task.
        let task = tokio::spawn(async { connect(String::from("nats://here").as_str()).await });
        assert_eq!(task.await.expect("no panic"), ("nats://here".to_owned(), 5));
    }

    #[tokio::test]
    async fn a_failure_that_stays_is_not_tried_again() {
        let (shutdown, mut attempts) = (CancellationToken::new(), 0);
        let attempt = || {
            attempts += 1;
            async { Err::<(), _>(away()) }
        };
        let error = reconnect("connecting", FAST, &shutdown, |_| false, attempt).await.expect_err("refused");
        assert!(matches!(error, ReconnectError::Refused { .. }));
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn gives_up_at_the_limit_with_the_last_failure() {
        let policy = Reconnect { limit: Some(Duration::from_millis(20)), ..FAST };
        let (shutdown, attempt) = (CancellationToken::new(), || async { Err::<(), _>(away()) });
        let error = reconnect("connecting", policy, &shutdown, |_| true, attempt).await.expect_err("gave up");
        assert_eq!(error.to_string(), "connecting still failed after 20ms");
        assert!(error.source().is_some());
    }

    #[tokio::test]
    async fn stops_at_once_when_the_process_does_even_inside_an_attempt() {
        let shutdown = CancellationToken::new();
        let attempt = || async {
            shutdown.cancel();
            std::future::pending::<Result<(), io::Error>>().await
        };
        let error = reconnect("connecting", FAST, &shutdown, |_| true, attempt).await.expect_err("stopped");
        assert!(matches!(error, ReconnectError::Stopped { .. }));
    }
}
