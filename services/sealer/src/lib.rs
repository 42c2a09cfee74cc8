//! The sealer: turns queued events into leaves of the log, grows the Merkle tree over them, and signs and anchors its roots.
//!
//! Any number of sealers may run; a transaction lock lets one of them seal at a time, and the others stand by. A sealer
//! holds nothing in memory that it cannot lose, but for the plans that it found wrong: a plan whose next event fails its
//! check stops alone, raises an alarm, and is looked at again after [`Config::retry_stopped`].
//!
//! | module | what |
//! |---|---|
//! | `continuity` | before anything is signed: does the database continue what is anchored? |
//! | `sealing` | the loop of sealing transactions |
//! | `stored` | what it hands to `anchoring` |
//! | `anchoring` | what was stored is cosigned, given to the anchors, and shown |
//! | [`Witnesses`] | asking the witnesses of the policy for their cosignatures |
//! | [`anchors`] | places that keep checkpoints: a stream, a file |

mod anchoring;
pub mod anchors;
mod continuity;
mod metrics;
mod sealing;
mod stored;
mod witnesses;

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::clock::Clock;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::signer::LogSigner;
use sealbus_ledger::Ledger;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::anchors::Anchor;
pub use crate::continuity::Refusal;
pub use crate::metrics::Metrics;
pub use crate::witnesses::{Witnesses, WitnessesError};

/// How a sealer goes about it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Events in one sealing transaction, at most.
    pub batch: u32,
    /// How long sealing waits for company when the queue is empty.
    pub wait: Duration,
    /// When a stopped plan is tried again.
    pub retry_stopped: Duration,
    /// How often a checkpoint is anchored while there is news.
    pub checkpoint: Duration,
    /// How often the newest is signed and anchored again while there is none.
    pub heartbeat: Duration,
    /// How long to wait after the ledger or the anchors failed.
    pub backoff: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch: 1_000,
            wait: Duration::from_millis(50),
            retry_stopped: Duration::from_mins(1),
            checkpoint: Duration::from_secs(1),
            heartbeat: Duration::from_mins(1),
            backoff: Duration::from_secs(1),
        }
    }
}

/// What a sealer works with.
pub struct Resources {
    /// The ledger.
    pub ledger: Ledger,
    /// The log's key.
    pub signer: LogSigner,
    /// Who is asked to cosign checkpoints, and how many have to before one is shown; none: nobody.
    pub witnesses: Option<Witnesses>,
    /// Where checkpoints are kept; at least one.
    pub anchors: Vec<Arc<dyn Anchor>>,
    /// The time that signatures state.
    pub clock: Arc<dyn Clock>,
    /// Its counters.
    pub metrics: Metrics,
}

/// Seals until told to stop; a batch under way is finished first, and what it signed is anchored.
///
/// A ledger or anchors that are away are waited for: the queue keeps what is owed.
///
/// # Errors
/// A [`Refusal`] where signing could fork the log: an operator has to look.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), Refusal> {
    let Some(anchored) = continued(&config, &resources, &shutdown).await? else { return Ok(()) };
    let resources = Arc::new(resources);
    let (kept, anchored) = watch::channel(anchored);
    let (stored, to_anchor) = watch::channel(None);
    // Anchoring outlives sealing, so that what was signed last is anchored too.
    let sealed = CancellationToken::new();
    let anchoring = anchoring::anchor(config.clone(), Arc::clone(&resources), to_anchor, kept, sealed.clone());
    let anchoring = tokio::spawn(anchoring);
    sealing::seal(&config, &resources, &anchored, &stored, &shutdown).await;
    sealed.cancel();
    if let Err(broken) = anchoring.await
        && broken.is_panic()
    {
        std::panic::resume_unwind(broken.into_panic());
    }
    Ok(())
}

/// The anchored checkpoint that the database continues; waits for anchors and a ledger that are away. None: told to stop.
async fn continued(
    config: &Config,
    resources: &Resources,
    shutdown: &CancellationToken,
) -> Result<Option<Checkpoint>, Refusal> {
    let names: Vec<String> = resources.anchors.iter().map(|anchor| anchor.name()).collect();
    let (origin, key) = (&resources.ledger.deployment().origin, resources.signer.verifier_key());
    loop {
        let held = anchors::newest(&resources.anchors, origin, &key).await;
        let checked = if held.readable == 0 {
            tracing::error!(
                anchors = held.unreadable.join("; "),
                "no anchor can be read, so nothing is sealed or signed; it will be tried again"
            );
            None
        } else {
            match continuity::check(&resources.ledger, &held, &names.join(", ")).await {
                Ok(anchored) => return Ok(Some(anchored)),
                Err(Refusal::Ledger(error)) if error.is_unreachable() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the ledger is away; sealing waits for it"
                    );
                    None
                }
                Err(refusal) => Some(refusal),
            }
        };
        if let Some(refusal) = checked {
            return Err(refusal);
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(config.backoff) => {}
        }
    }
}
