//! The sealer: turns queued events into leaves of the log, which gives every event a dense `log_index`.
//!
//! Any number of sealers may run; a transaction lock lets one of them seal at a time, and the others stand by. A sealer
//! holds nothing in memory that it cannot lose, but for the plans that it found wrong: a plan whose next event fails its
//! check stops alone, raises an alarm, and is looked at again after [`Config::retry_stopped`].

mod metrics;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sealbus_ledger::{Ledger, LedgerError};
use tokio_util::sync::CancellationToken;

pub use metrics::Metrics;

/// How a sealer goes about it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Events in one sealing transaction, at most.
    pub batch: u32,
    /// How long sealing waits for company when the queue is empty.
    pub wait: Duration,
    /// When a stopped plan is tried again.
    pub retry_stopped: Duration,
    /// How long to wait after the ledger failed.
    pub backoff: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch: 1_000,
            wait: Duration::from_millis(50),
            retry_stopped: Duration::from_mins(1),
            backoff: Duration::from_secs(1),
        }
    }
}

/// What a sealer works with.
pub struct Resources {
    /// The ledger.
    pub ledger: Ledger,
    /// Its counters.
    pub metrics: Metrics,
}

/// Seals until told to stop; a batch under way is finished first.
///
/// A ledger that is away is waited for, as are the other errors of a database: the queue keeps what is owed.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) {
    let Resources { ledger, metrics } = resources;
    let mut stopped = HashSet::new();
    let mut forgiven_at = Instant::now();
    while !shutdown.is_cancelled() {
        if forgiven_at.elapsed() >= config.retry_stopped {
            stopped.clear();
            forgiven_at = Instant::now();
        }
        let pause = match ledger.seal_batch(config.batch, &stopped).await {
            Ok(sealed) => {
                metrics.leaves.inc_by(sealed.leaves);
                for plan in &sealed.stopped {
                    metrics.stopped.inc();
                    tracing::error!(
                        tenant = plan.tenant,
                        plan = plan.plan,
                        seq = plan.seq,
                        reason = plan.reason,
                        "a plan cannot be sealed further; run `sealbus verify` on it"
                    );
                }
                stopped.extend(sealed.stopped.iter().map(|plan| plan.plan_no));
                if sealed.leaves > 0 { Duration::ZERO } else { config.wait }
            }
            Err(error) => {
                report(&error);
                metrics.failures.inc();
                config.backoff
            }
        };
        if !pause.is_zero() {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

fn report(error: &LedgerError) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "sealing failed and will be tried again; events wait in the seal queue"
    );
}
