//! Retrying an operation with growing pauses until it succeeds, for connections at the start and after a loss.
//!
//! This is the only module that uses the `backoff` crate, which is flagged as unmaintained (RUSTSEC-2025-0012); `deny.toml`
//! records the exception. Retries of deliveries follow `sealbus_core::retry`.

use std::error::Error;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use sealbus_core::{duration, error_chain};
use tokio_util::sync::CancellationToken;

/// The pauses between attempts, and the time after which to give up.
#[derive(Clone, Copy, Debug)]
pub struct Reconnect {
    /// Pause after the first failure. Each further pause is 1.5 times as long; a random part of up to ±50 % is added.
    pub initial: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// Time after which to give up; `None` to retry indefinitely.
    pub limit: Option<Duration>,
}

impl Default for Reconnect {
    /// Returns pauses from 100 ms to 5 s, without a limit.
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), longest: Duration::from_secs(5), limit: None }
    }
}

/// The reason for which [`reconnect`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconnectError<E: Error + 'static> {
    /// The operation failed with an error that is not transient.
    #[error("{what} failed")]
    Refused {
        /// Name of the operation.
        what: String,
        /// Error of the operation.
        source: E,
    },
    /// The limit has passed.
    #[error("{what} still failed after {}", duration::display(*limit))]
    GaveUp {
        /// Name of the operation.
        what: String,
        /// Limit.
        limit: Duration,
        /// Last error of the operation.
        source: E,
    },
    /// The process is stopping.
    #[error("{what} was abandoned because the process is stopping")]
    Stopped {
        /// Name of the operation.
        what: String,
    },
}

/// Runs `attempt` until it succeeds, fails with an error that is not `transient`, `shutdown` fires, or the limit passes.
///
/// Every failure is logged with `what`, the name of the operation, so that an operator sees what the process waits for. When
/// `shutdown` fires, an attempt in flight is dropped.
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
            let limit = policy.limit.expect("the pauses end only if there is a limit");
            return Err(ReconnectError::GaveUp { what: what(), limit, source });
        };
        tracing::warn!(what = what(), error = %error_chain(&source), retry_in = ?pause, "operation failed; it will be retried");
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

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[tokio::test]
    async fn retries_until_success() {
        async fn connect(to: &str) -> (String, usize) {
            let (shutdown, mut attempts) = (CancellationToken::new(), 0);
            let attempt = || {
                attempts += 1;
                let answer = if attempts < 5 { Err(refused()) } else { Ok(to.to_owned()) };
                async move { answer }
            };
            let value = reconnect("connecting", FAST, &shutdown, |_| true, attempt).await;
            (value.expect("the fifth attempt succeeds"), attempts)
        }
        // A role connects inside a task, so the future must be Send.
        let task = tokio::spawn(async { connect(String::from("nats://here").as_str()).await });
        assert_eq!(task.await.expect("no panic"), ("nats://here".to_owned(), 5));
    }

    #[tokio::test]
    async fn a_permanent_failure_is_not_retried() {
        let (shutdown, mut attempts) = (CancellationToken::new(), 0);
        let attempt = || {
            attempts += 1;
            async { Err::<(), _>(refused()) }
        };
        let error = reconnect("connecting", FAST, &shutdown, |_| false, attempt).await.expect_err("refused");
        assert!(matches!(error, ReconnectError::Refused { .. }));
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn gives_up_at_the_limit_with_the_last_error() {
        let policy = Reconnect { limit: Some(Duration::from_millis(20)), ..FAST };
        let (shutdown, attempt) = (CancellationToken::new(), || async { Err::<(), _>(refused()) });
        let error = reconnect("connecting", policy, &shutdown, |_| true, attempt).await.expect_err("gave up");
        assert_eq!(error.to_string(), "connecting still failed after 20ms");
        assert!(error.source().is_some());
    }

    #[tokio::test]
    async fn a_shutdown_ends_an_attempt_in_flight() {
        let shutdown = CancellationToken::new();
        let attempt = || async {
            shutdown.cancel();
            std::future::pending::<Result<(), io::Error>>().await
        };
        let error = reconnect("connecting", FAST, &shutdown, |_| true, attempt).await.expect_err("stopped");
        assert!(matches!(error, ReconnectError::Stopped { .. }));
    }
}
