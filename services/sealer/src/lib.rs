//! The sealer adds queued events to the log, extends the Merkle tree, and signs and anchors checkpoints of it
//! (docs/spec/protocol.md#seal, docs/spec/integrity.md#the-log).
//!
//! Any number of sealers may run. A transaction lock lets one of them seal at a time; the others wait for the lock. The
//! only state that a sealer keeps in memory is the set of stopped plans: a plan whose next event fails its check is not
//! sealed further, raises an alarm, and is tried again after [`Config::stopped_plan_retry_interval`]. Other plans are
//! not affected.
//!
//! | module | content |
//! |---|---|
//! | `continuity` | the check at the start that the database continues what is anchored |
//! | `sealing` | the loop of sealing transactions |
//! | `roots` | the deletion of stored roots between anchored checkpoints |
//! | `anchoring` | the loop that has stored checkpoints cosigned, anchored and shown to readers |
//! | [`Witnesses`] | the witnesses of the policy, which cosign checkpoints |
//! | [`anchors`] | the places that keep checkpoints: a stream and a file |

mod anchoring;
pub mod anchors;
mod continuity;
mod metrics;
mod roots;
mod sealing;
mod witnesses;

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::clock::Clock;
use sealbus_core::error_chain;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::signer::LogSigner;
use sealbus_ledger::Ledger;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::anchors::Anchor;
pub use crate::continuity::Refusal;
pub use crate::metrics::Metrics;
pub use crate::witnesses::{Witnesses, WitnessesError};

/// The pause after the ledger or all anchors failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The limits and intervals of a sealer.
#[derive(Debug, Clone)]
pub struct Config {
    /// The largest number of events of one sealing transaction.
    pub max_batch_events: u32,
    /// How long to wait before the seal queue is read again after it was empty.
    pub queue_poll_interval: Duration,
    /// How long after its event failed the check a stopped plan is tried again.
    pub stopped_plan_retry_interval: Duration,
    /// The shortest interval between two anchored checkpoints while the log grows.
    pub checkpoint_interval: Duration,
    /// The interval in which the newest checkpoint is signed and anchored again while the log does not grow.
    pub heartbeat_interval: Duration,
}

/// The connections, keys and metrics of a sealer.
pub struct Resources {
    /// The ledger.
    pub ledger: Ledger,
    /// The log's key.
    pub signer: LogSigner,
    /// The witnesses that cosign checkpoints, and the quorum without which none is shown. `None` for no witnesses.
    pub witnesses: Option<Witnesses>,
    /// The anchors, at least one.
    pub anchors: Vec<Arc<dyn Anchor>>,
    /// The clock of the times in signatures.
    pub clock: Arc<dyn Clock>,
    /// The metrics.
    pub metrics: Metrics,
}

/// Seals until `shutdown` is cancelled. It then finishes the running transaction and anchors its checkpoint.
///
/// If the ledger or all anchors are unreachable, it retries without limit. Events wait in the seal queue.
///
/// # Errors
/// A [`Refusal`] if signing could fork the log. An operator has to resolve it.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), Refusal> {
    let Some(anchored) = wait_until_continuous(&resources, &shutdown).await? else { return Ok(()) };
    let (anchored_sender, anchored) = watch::channel(anchored);
    let (stored_sender, stored) = watch::channel(None);
    let (stored_roots, roots) = roots::record();
    // Anchoring ends after sealing, so that the last signed checkpoint is anchored too.
    let sealing_ended = CancellationToken::new();
    let sealing = async {
        sealing::seal(&config, &resources, &anchored, &stored_sender, &stored_roots, &shutdown).await;
        sealing_ended.cancel();
    };
    let anchoring = anchoring::anchor_checkpoints(&config, &resources, stored, roots, &anchored_sender, &sealing_ended);
    tokio::join!(sealing, anchoring);
    Ok(())
}

/// Returns the anchored checkpoint that the database's log continues, or `None` if `shutdown` was cancelled. It retries
/// while the ledger or all anchors are unreachable.
async fn wait_until_continuous(
    resources: &Resources,
    shutdown: &CancellationToken,
) -> Result<Option<Checkpoint>, Refusal> {
    let names: Vec<String> = resources.anchors.iter().map(|anchor| anchor.name()).collect();
    let (origin, key) = (&resources.ledger.deployment().origin, resources.signer.verifier_key());
    loop {
        let contents = anchors::newest(&resources.anchors, origin, &key).await;
        if contents.readable == 0 {
            let errors = contents.unreadable.join("; ");
            tracing::error!(errors, "no anchor can be read; nothing is sealed until one can");
        } else {
            match continuity::check(&resources.ledger, &contents, &names.join(", ")).await {
                Ok(anchored) => return Ok(Some(anchored)),
                Err(Refusal::Ledger(error)) if error.is_unreachable() => {
                    tracing::warn!(error = %error_chain(&error), "ledger unreachable; sealing waits for it");
                }
                Err(refusal) => return Err(refusal),
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(RETRY_DELAY)).await.is_none() {
            return Ok(None);
        }
    }
}
