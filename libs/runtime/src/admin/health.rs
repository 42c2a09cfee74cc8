//! Whether the process can do its work right now.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long an answer of the checks is good for: however many probe, the ledger is asked once a second.
const FRESH: Duration = Duration::from_secs(1);

/// The readiness of a process: named checks, each of which can fail it or only tells.
///
/// A check answers `Ok`, or a word or two for an operator, "away": no secret, since anybody may read it. A check that
/// takes longer than the limit has failed.
pub struct Health {
    limit: Duration,
    checks: Vec<Check>,
    started: AtomicBool,
    shutdown: CancellationToken,
    latest: Mutex<Option<(Instant, Report)>>,
}

struct Check {
    name: &'static str,
    needed: bool,
    run: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// What the checks said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the process has started, is not stopping, and everything that it needs is there.
    pub ready: bool,
    /// What each check said: "ok", or its word.
    pub checks: BTreeMap<&'static str, String>,
}

impl Health {
    /// Without checks yet; `limit` is what one may take. From when `shutdown` fires the process is not ready, so that load
    /// balancers look elsewhere while it finishes.
    pub fn new(limit: Duration, shutdown: CancellationToken) -> Self {
        Self { limit, checks: Vec::new(), started: AtomicBool::new(false), shutdown, latest: Mutex::new(None) }
    }

    /// Adds a check without which the process is not ready.
    #[must_use]
    pub fn needs<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, true, check)
    }

    /// Adds a check that is told and changes nothing: the publisher stays ready while the broker is away.
    #[must_use]
    pub fn mentions<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, false, check)
    }

    fn with<F>(mut self, name: &'static str, needed: bool, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push(Check { name, needed, run: Box::new(move || check().boxed()) });
        self
    }

    /// To be called once, when the process has all that it starts with.
    pub fn started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::started`] was called.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// What the checks say, asked at most a second ago. Beside them stands `process`, while it starts or stops.
    pub async fn report(&self) -> Report {
        let mut report = self.checked().await;
        let phase = match (self.has_started(), self.shutdown.is_cancelled()) {
            (_, true) => "stopping",
            (false, false) => "starting",
            (true, false) => return report,
        };
        report.ready = false;
        report.checks.insert("process", phase.to_owned());
        report
    }

    async fn checked(&self) -> Report {
        // Held while the checks run: whoever asks meanwhile gets the same answer.
        let mut latest = self.latest.lock().await;
        match latest.as_ref() {
            Some((at, report)) if at.elapsed() < FRESH => report.clone(),
            _ => {
                let report = self.run().await;
                *latest = Some((Instant::now(), report.clone()));
                report
            }
        }
    }

    async fn run(&self) -> Report {
        let words = join_all(self.checks.iter().map(|check| async {
            match timeout(self.limit, (check.run)()).await {
                Ok(Ok(())) => None,
                Ok(Err(word)) => Some(word),
                Err(_) => Some(format!("no answer within {:?}", self.limit)),
            }
        }))
        .await;
        let ready = self.checks.iter().zip(&words).all(|(check, word)| !check.needed || word.is_none());
        let words = words.into_iter().map(|word| word.unwrap_or_else(|| "ok".to_owned()));
        Report { ready, checks: self.checks.iter().map(|check| check.name).zip(words).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn health() -> Health {
        Health::new(LIMIT, CancellationToken::new())
    }

    async fn fine() -> Result<(), String> {
        Ok(())
    }

    async fn away() -> Result<(), String> {
        Err("away".to_owned())
    }

    #[tokio::test]
    async fn what_is_needed_decides_and_what_is_mentioned_only_tells() {
        let publisher = health().needs("database", fine).mentions("broker", away);
        publisher.started();
        let report = publisher.report().await;
        assert!(report.ready);
        assert_eq!(report.checks, BTreeMap::from([("database", "ok".into()), ("broker", "away".into())]));

        let relay = health().needs("database", fine).needs("broker", away);
        relay.started();
        assert!(!relay.report().await.ready);
    }

    #[tokio::test]
    async fn a_process_that_starts_or_stops_is_not_ready() {
        let shutdown = CancellationToken::new();
        let health = Health::new(LIMIT, shutdown.clone()).needs("database", fine);
        assert_eq!(health.report().await.checks.get("process").map(String::as_str), Some("starting"));
        health.started();
        assert!(health.report().await.ready);
        shutdown.cancel();
        let report = health.report().await;
        assert_eq!((report.ready, report.checks.get("process").map(String::as_str)), (false, Some("stopping")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed() {
        let health = health().needs("database", std::future::pending::<Result<(), String>>);
        health.started();
        let report = health.report().await;
        assert!(!report.ready);
        assert_eq!(report.checks["database"], "no answer within 2s");
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_the_checks_run_once_a_second() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let health = health().needs("database", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            fine()
        });
        join_all((0..50).map(|_| health.report())).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        tokio::time::advance(FRESH).await;
        health.report().await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
