//! The loop of sealing transactions.

use std::time::{Duration, Instant};

use sealbus_core::error_chain;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_ledger::log::{Sealed, SealingState, Signing};
use sealbus_ledger::low_water::next_unbounded;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::roots::StoredRoots;
use crate::{Config, RETRY_DELAY, Resources};

/// A checkpoint that is signed and stored in the ledger.
#[derive(Clone, Debug)]
pub(crate) struct StoredCheckpoint {
    pub checkpoint: Checkpoint,
    /// The note of the checkpoint, with the log's signature.
    pub note: Note,
}

impl StoredCheckpoint {
    /// Parses the text of a note that the ledger has signed.
    pub(crate) fn new(note: Note) -> Self {
        Self { checkpoint: note.text().parse().expect("the ledger signs checkpoints only"), note }
    }
}

/// Runs sealing transactions until `shutdown` is cancelled. Each continues the newest `anchored` checkpoint, and sends
/// the one that it has signed to `stored`, and its size to `roots`.
pub(crate) async fn seal(
    config: &Config,
    resources: &Resources,
    anchored: &watch::Receiver<Checkpoint>,
    stored: &watch::Sender<Option<StoredCheckpoint>>,
    roots: &StoredRoots,
    shutdown: &CancellationToken,
) {
    let Resources { ledger, signer, clock, metrics, .. } = resources;
    let mut state = SealingState::default();
    let mut read_all_at = Instant::now();
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        let reads_all = started >= read_all_at;
        if reads_all {
            state.read_all();
        }
        let newest_anchored = anchored.borrow().clone();
        let signing = Signing { signer, anchored: &newest_anchored, time: clock.unix_seconds() };
        let sealed = ledger.log().seal_batch(config.max_batch_events, &mut state, Some(signing)).await;
        if reads_all {
            let ended = Instant::now();
            read_all_at = ended + next_unbounded(config.stopped_plan_retry_interval, ended - started);
        }
        let pause = match sealed {
            Ok(sealed) => {
                report(resources, &sealed);
                if let Some(note) = sealed.note {
                    let checkpoint = StoredCheckpoint::new(note);
                    roots.push(checkpoint.checkpoint.size());
                    stored.send_replace(Some(checkpoint));
                }
                if sealed.leaves > 0 { Duration::ZERO } else { config.queue_poll_interval }
            }
            Err(error) => {
                metrics.failures.inc();
                tracing::error!(
                    error = %error_chain(&error),
                    "sealing failed; events wait in the seal queue and sealing is retried"
                );
                RETRY_DELAY
            }
        };
        if !pause.is_zero() {
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }
}

/// Counts the leaves and stopped plans of a transaction, and logs the latter.
fn report(Resources { metrics, .. }: &Resources, sealed: &Sealed) {
    metrics.leaves.inc_by(sealed.leaves);
    for plan in &sealed.stopped {
        metrics.stopped.inc();
        tracing::error!(
            tenant = plan.tenant,
            plan = plan.plan,
            seq = plan.seq,
            reason = plan.reason,
            "an event failed its check; its plan is not sealed further. Run `sealbus verify` on the plan"
        );
    }
}
