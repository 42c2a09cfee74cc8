//! The sealer adds queued events to the log, extends the Merkle tree, and signs and anchors checkpoints of it
//! (docs/spec/protocol.md#seal, docs/spec/integrity.md#the-log).
//!
//! Any number of sealers may run. A transaction lock lets one of them seal at a time. A sealer that finds that another one has
//! sealed, or that the server is another one, reads the anchors before it seals, so that nothing is signed which does not
//! continue all that was anchored. A plan whose next event fails its check is not sealed further, raises an alarm, and is tried
//! again after [`Config::stopped_plan_retry_interval`]. Other plans are not affected.
//!
//! Events get their leaves also while nothing may be signed, except in a log that is known to lack anchored leaves ([`Refusal`]).
//!
//! | module | content |
//! |---|---|
//! | `continuity` | the check that the database continues what is anchored |
//! | `idle` | the pauses while nothing is queued |
//! | `sealing` | the loop of sealing transactions |
//! | `roots` | the deletion of stored roots between anchored checkpoints |
//! | `anchoring` | the loop that has stored checkpoints cosigned, anchored and shown to readers |
//! | `shared` | what these two loops share |
//! | `measure` | the measurement of the log and its queue for the metrics |
//! | [`Witnesses`] | the witnesses of the policy, which cosign checkpoints |
//! | [`anchors`] | the places that keep checkpoints: a stream and a file |

mod anchoring;
pub mod anchors;
mod continuity;
mod idle;
mod measure;
mod metrics;
mod roots;
mod sealing;
mod shared;
mod witnesses;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use sealbus_broker::Broker;
use sealbus_core::clock::Clock;
use sealbus_core::log::signer::LogSigner;
use sealbus_ledger::Ledger;
use tokio_util::sync::CancellationToken;

use crate::anchors::Anchor;
pub use crate::continuity::Refusal;
pub use crate::metrics::Metrics;
use crate::sealing::Sealing;
use crate::shared::Shared;
pub use crate::witnesses::{Witnesses, WitnessesError};

/// The pause after the ledger or all anchors failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long the end of a sealer waits until its last checkpoint is anchored: a third of the default `SEALBUS_SHUTDOWN_GRACE` of 25 s,
/// as for the work in flight of the other roles.
const LAST_CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(8);

/// The limits and intervals of a sealer.
#[derive(Debug, Clone)]
pub struct Config {
    /// The largest number of events of one sealing transaction.
    pub max_batch_events: u32,
    /// How long to wait before the seal queue is read again after it was empty. The pause doubles up to 500 ms while the queue
    /// stays empty and no hint arrives.
    pub queue_poll_interval: Duration,
    /// How long after its event failed the check a stopped plan is tried again.
    pub stopped_plan_retry_interval: Duration,
    /// The shortest interval between two anchored checkpoints while the log grows.
    pub checkpoint_interval: Duration,
    /// The interval in which the newest checkpoint is signed and anchored again while the log does not grow.
    pub heartbeat_interval: Duration,
    /// The interval in which the log and its queue are measured for the metrics.
    pub measure_interval: Duration,
}

/// The connections, keys and metrics of a sealer.
pub struct Resources {
    /// The ledger.
    pub ledger: Ledger,
    /// The broker, whose hints tell an idle sealer of events.
    pub broker: Broker,
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

/// Seals until `shutdown` is cancelled. It then finishes the running transaction, and anchors its checkpoint if that takes no longer
/// than 8 s.
///
/// If the ledger or all anchors are unreachable, or signing could fork the log, it retries without limit and reports why
/// nothing is signed.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) {
    let shared = Shared::default();
    let (stored_roots, roots) = roots::record();
    // Anchoring ends after sealing, so that the last signed checkpoint is anchored too.
    let sealing_ended = CancellationToken::new();
    let sealing = async {
        Sealing::new(&config, &resources, &shared, &stored_roots).run(&shutdown).await;
        sealing_ended.cancel();
    };
    let anchoring = async {
        tokio::select! {
            () = anchoring::anchor_checkpoints(&config, &resources, &shared, roots, &sealing_ended) => {}
            () = sealing_ended.cancelled().then(|()| tokio::time::sleep(LAST_CHECKPOINT_TIMEOUT)) => tracing::warn!(
                "the last checkpoint is not anchored at the end of the sealer; the next sealer anchors the tree"
            ),
        }
    };
    tokio::join!(sealing, anchoring, measure::measure(&resources, config.measure_interval, &sealing_ended));
}
