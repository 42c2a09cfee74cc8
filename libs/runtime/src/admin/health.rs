//! Readiness: whether the process can do its work now.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Time for which a result of the checks is reused, so that the ledger is queried at most once a second however many probes come.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// The readiness of a process, determined by named checks. A check is required or only informational.
///
/// A check returns `Ok`, or a short text for operators such as "unreachable". The text must not be confidential, since anyone can
/// read it. A check that takes longer than the limit has failed.
pub struct Health {
    limit: Duration,
    checks: Vec<Check>,
    started: AtomicBool,
    shutdown: CancellationToken,
    latest: Mutex<Option<(Instant, Report)>>,
}

struct Check {
    name: &'static str,
    required: bool,
    run: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// The results of the checks.
#[derive(Clone)]
pub(super) struct Report {
    /// Whether the process has started, is not stopping, and all required checks succeed.
    pub ready: bool,
    /// The result of each check: "ok", or the text of the failure.
    pub checks: BTreeMap<&'static str, String>,
}

impl Health {
    /// Returns a readiness without checks. `limit` is the time that a check may take. Once `shutdown` fires, the process is not
    /// ready, so that load balancers use other replicas while it finishes its work.
    pub fn new(limit: Duration, shutdown: CancellationToken) -> Self {
        Self { limit, checks: Vec::new(), started: AtomicBool::new(false), shutdown, latest: Mutex::new(None) }
    }

    /// Adds a check that must succeed for the process to be ready.
    #[must_use]
    pub fn with_required<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, true, check)
    }

    /// Adds a check that is only reported: the publisher, for example, stays ready while the broker is unreachable.
    #[must_use]
    pub fn with_informational<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, false, check)
    }

    fn with<F>(mut self, name: &'static str, required: bool, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push(Check { name, required, run: Box::new(move || check().boxed()) });
        self
    }

    /// Marks the process as started. It is called once, when everything is initialised.
    pub fn started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Returns whether [`Health::started`] was called.
    pub(super) fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Returns the results of the checks, which are at most a second old. While the process starts or stops, the results have an
    /// additional entry `process`.
    pub(super) async fn report(&self) -> Report {
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
        // The lock is held while the checks run, so that concurrent probes get the same result.
        let mut latest = self.latest.lock().await;
        if let Some((time, report)) = latest.as_ref()
            && time.elapsed() < CACHE_TIME
        {
            return report.clone();
        }
        let report = self.run().await;
        *latest = Some((Instant::now(), report.clone()));
        report
    }

    async fn run(&self) -> Report {
        let results = join_all(self.checks.iter().map(|check| async {
            let result = timeout(self.limit, (check.run)()).await;
            result.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.limit)))
        }))
        .await;
        let ready = self.checks.iter().zip(&results).all(|(check, result)| !check.required || result.is_ok());
        let texts = results.into_iter().map(|result| result.err().unwrap_or_else(|| "ok".to_owned()));
        Report { ready, checks: self.checks.iter().map(|check| check.name).zip(texts).collect() }
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

    async fn unreachable() -> Result<(), String> {
        Err("unreachable".to_owned())
    }

    #[tokio::test]
    async fn required_checks_decide_and_informational_ones_are_only_reported() {
        let publisher = health().with_required("database", fine).with_informational("broker", unreachable);
        publisher.started();
        let report = publisher.report().await;
        assert!(report.ready);
        assert_eq!(report.checks, BTreeMap::from([("database", "ok".into()), ("broker", "unreachable".into())]));

        let relay = health().with_required("database", fine).with_required("broker", unreachable);
        relay.started();
        assert!(!relay.report().await.ready);
    }

    #[tokio::test]
    async fn a_process_that_starts_or_stops_is_not_ready() {
        let shutdown = CancellationToken::new();
        let health = Health::new(LIMIT, shutdown.clone()).with_required("database", fine);
        assert_eq!(health.report().await.checks.get("process").map(String::as_str), Some("starting"));
        health.started();
        assert!(health.report().await.ready);
        shutdown.cancel();
        let report = health.report().await;
        assert_eq!((report.ready, report.checks.get("process").map(String::as_str)), (false, Some("stopping")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed() {
        let health = health().with_required("database", std::future::pending::<Result<(), String>>);
        health.started();
        let report = health.report().await;
        assert!(!report.ready);
        assert_eq!(report.checks["database"], "no answer within 2s");
    }

    #[tokio::test(start_paused = true)]
    async fn checks_run_once_a_second_for_any_number_of_probes() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let health = health().with_required("database", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            fine()
        });
        join_all((0..50).map(|_| health.report())).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        tokio::time::advance(CACHE_TIME).await;
        health.report().await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
