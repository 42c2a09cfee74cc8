//! The loop of sealing transactions.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_ledger::log::{Sealed, Signing};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::stored::Stored;
use crate::{Config, Resources};

/// Seals until told to stop. What is signed continues what is `anchored`, and is handed on by `stored`.
pub(crate) async fn seal(
    config: &Config,
    resources: &Resources,
    anchored: &watch::Receiver<Checkpoint>,
    stored: &watch::Sender<Option<Stored>>,
    shutdown: &CancellationToken,
) {
    let Resources { ledger, signer, clock, metrics, .. } = resources;
    let mut stopped = HashSet::new();
    let mut forgiven_at = Instant::now();
    while !shutdown.is_cancelled() {
        if forgiven_at.elapsed() >= config.retry_stopped {
            stopped.clear();
            forgiven_at = Instant::now();
        }
        let known = anchored.borrow().clone();
        let signing = Signing { signer, anchored: &known, time: clock.unix_seconds() };
        let pause = match ledger.log().seal_batch(config.batch, &stopped, Some(signing)).await {
            Ok(sealed) => {
                let leaves = sealed.leaves;
                stopped.extend(sealed.stopped.iter().map(|plan| plan.plan_no));
                report(resources, &sealed);
                if let Some(note) = sealed.note
                    && let Ok(checkpoint) = note.text().parse()
                {
                    stored.send_replace(Some(Stored { checkpoint, note }));
                }
                if leaves > 0 { Duration::ZERO } else { config.wait }
            }
            Err(error) => {
                metrics.failures.inc();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "sealing failed and will be tried again; events wait in the seal queue"
                );
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

fn report(Resources { metrics, .. }: &Resources, sealed: &Sealed) {
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
}
