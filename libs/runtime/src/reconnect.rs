//! Retrying an operation with growing pauses until it succeeds, for connections at the start and after a loss. Retries of
//! deliveries follow `sealbus_core::retry`.

use std::error::Error;
use std::time::Duration;

use sealbus_core::error_chain;
use tokio_util::sync::CancellationToken;

/// Pause after the first failure. Each further pause is 1.5 times as long, up to [`LONGEST_PAUSE`]. Up to a half of a pause
/// is added or taken away at random, so that processes that lost a server together do not return to it together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The reason for which [`reconnect`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconnectError<E: Error + 'static> {
    /// The operation failed with an error that is not transient.
    #[error("{what} failed")]
    Refused {
        /// Name of the operation.
        what: &'static str,
        /// Error of the operation.
        source: E,
    },
    /// The process is stopping.
    #[error("{what} was abandoned because the process is stopping")]
    Stopped {
        /// Name of the operation.
        what: &'static str,
    },
}

/// Runs `attempt` until it succeeds, fails with an error that is not `transient`, or `shutdown` fires.
///
/// Every failure is logged with `what`, the name of the operation, so that an operator sees what the process waits for. When
/// `shutdown` fires, an attempt in flight is dropped.
pub async fn reconnect<T, E: Error + 'static, F: Future<Output = Result<T, E>>>(
    what: &'static str,
    shutdown: &CancellationToken,
    transient: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ReconnectError<E>> {
    // Boxed, because `run_until_cancelled` would store the future twice.
    let attempts = Box::pin(async {
        let mut pause = FIRST_PAUSE;
        loop {
            match attempt().await {
                Err(error) if transient(&error) => {
                    let retry_in = pause.mul_f64(0.5 + fastrand::f64());
                    tracing::warn!(what, error = %error_chain(&error), ?retry_in, "operation failed; it will be retried");
                    tokio::time::sleep(retry_in).await;
                    pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                }
                result => return result.map_err(|source| ReconnectError::Refused { what, source }),
            }
        }
    });
    shutdown.run_until_cancelled(attempts).await.unwrap_or(Err(ReconnectError::Stopped { what }))
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::Instant;

    use super::*;

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[tokio::test(start_paused = true)]
    async fn retries_until_success() {
        async fn connect(to: &str) -> (String, usize) {
            let (shutdown, mut attempts) = (CancellationToken::new(), 0);
            let attempt = || {
                attempts += 1;
                let answer = if attempts < 5 { Err(refused()) } else { Ok(to.to_owned()) };
                async move { answer }
            };
            let value = reconnect("connecting", &shutdown, |_| true, attempt).await;
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
        let error = reconnect("connecting", &shutdown, |_| false, attempt).await.expect_err("refused");
        assert!(matches!(error, ReconnectError::Refused { .. }));
        assert_eq!((error.to_string().as_str(), attempts), ("connecting failed", 1));
        assert!(error.source().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pauses_grow_up_to_the_longest_one() {
        let (shutdown, mut begun) = (CancellationToken::new(), Vec::new());
        let attempt = || {
            begun.push(Instant::now());
            let answer = if begun.len() < 50 { Err(refused()) } else { Ok(()) };
            async move { answer }
        };
        reconnect("connecting", &shutdown, |_| true, attempt).await.expect("the last attempt succeeds");
        let pauses: Vec<Duration> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // The runtime's clock rounds up to milliseconds.
        let longest = LONGEST_PAUSE * 3 / 2 + Duration::from_millis(1);
        assert!(pauses[0] < FIRST_PAUSE * 2 && pauses.iter().all(|pause| *pause <= longest), "{pauses:?}");
        assert!(pauses[20..].iter().all(|pause| *pause >= LONGEST_PAUSE / 2), "{pauses:?}");
    }

    #[tokio::test]
    async fn a_shutdown_ends_an_attempt_in_flight() {
        let shutdown = CancellationToken::new();
        let attempt = || async {
            shutdown.cancel();
            std::future::pending::<Result<(), io::Error>>().await
        };
        let error = reconnect("connecting", &shutdown, |_| true, attempt).await.expect_err("stopped");
        assert!(matches!(error, ReconnectError::Stopped { .. }));
    }
}
