//! One witness of the policy: the size that it cosigned last, and requests to it.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sealbus_client::{Cosignature, WitnessClient, WitnessError};
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, MAX_AHEAD_SECONDS};
use sealbus_core::log::merkle::verify_consistency;
use sealbus_core::log::note::{Note, NoteError};
use sealbus_ledger::Ledger;
use tokio::sync::Mutex;

/// A witness with a URL.
pub(super) struct Witness {
    pub name: String,
    client: WitnessClient,
    /// The size that it cosigned last, as far as this sealer knows. Another sealer may have requested a later one; the
    /// witness then answers with its actual size.
    last_size: AtomicU64,
    /// Locked while a request is in flight.
    in_flight: Mutex<()>,
}

/// The reason why a witness has not cosigned a checkpoint. It completes a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCosignature {
    #[error("has no URL in the policy")]
    NoUrl,
    #[error("still has an earlier checkpoint in flight")]
    Busy,
    #[error("did not answer within {timeout:?}")]
    TimedOut { timeout: Duration },
    #[error(
        "refuses this tree, although the ledger's tiles prove that it continues the cosigned one: the log has two \
         histories, or the witness was deceived. Its answer: {message}"
    )]
    Fork { message: String },
    #[error(
        "has cosigned {size} leaves of this log, but the ledger holds {ledger_size}: the ledger was rolled back, or \
         another database signs with this log's key"
    )]
    Ahead { size: u64, ledger_size: u64 },
    #[error("has already cosigned {size} leaves, requested by another sealer")]
    Overtaken { size: u64 },
    #[error("its cosignature is dated {ahead_seconds} s ahead; more than {MAX_AHEAD_SECONDS} s does not count")]
    FutureTime { ahead_seconds: u64 },
    #[error("its cosignature does not fit the note: {0}")]
    NoRoom(NoteError),
    #[error("{}", error_chain(.0))]
    Failed(WitnessError),
}

impl NoCosignature {
    /// Returns the kind of alarm if the reason indicates a defect of the log, not of the witness.
    pub(crate) fn alarm(&self) -> Option<&'static str> {
        matches!(self, Self::Fork { .. } | Self::Ahead { .. }).then(|| self.outcome())
    }

    /// The metric label `outcome`.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::NoUrl | Self::Busy | Self::TimedOut { .. } => "late",
            Self::Fork { .. } => "fork",
            Self::Ahead { .. } => "ahead",
            Self::Overtaken { .. } => "overtaken",
            Self::FutureTime { .. } | Self::NoRoom(_) | Self::Failed(WitnessError::Unsigned(_)) => "invalid",
            Self::Failed(WitnessError::Unreachable { .. }) => "unreachable",
            Self::Failed(_) => "refused",
        }
    }
}

impl Witness {
    pub(super) fn new(name: String, client: WitnessClient) -> Self {
        Self { name, client, last_size: AtomicU64::new(0), in_flight: Mutex::new(()) }
    }

    /// Requests a cosignature of a checkpoint, with a proof of consistency from the size that the witness cosigned
    /// last.
    pub(super) async fn cosign(
        &self,
        ledger: &Ledger,
        checkpoint: &Checkpoint,
        note: &Note,
    ) -> Result<Cosignature, NoCosignature> {
        let Ok(_in_flight) = self.in_flight.try_lock() else { return Err(NoCosignature::Busy) };
        let size = checkpoint.size();
        let last_size = self.last_size.load(Ordering::Relaxed).min(size);
        match self.client.add_checkpoint(last_size, |from| prove(ledger, from, checkpoint), note).await {
            Ok(cosignature) => {
                self.last_size.store(size, Ordering::Relaxed);
                Ok(cosignature)
            }
            Err(WitnessError::Conflict { size }) => {
                self.last_size.store(size, Ordering::Relaxed);
                match ledger.log().newest_tree().await {
                    Ok(tree) if tree.size < size => Err(NoCosignature::Ahead { size, ledger_size: tree.size }),
                    _ => Err(NoCosignature::Overtaken { size }),
                }
            }
            Err(WitnessError::Refused { status: 422, message }) => Err(NoCosignature::Fork { message }),
            Err(error) => Err(NoCosignature::Failed(error)),
        }
    }
}

/// Returns the proof that a checkpoint continues the tree of `from` leaves. The proof is checked here, so that a
/// witness which refuses it must know another tree.
async fn prove(ledger: &Ledger, from: u64, checkpoint: &Checkpoint) -> Result<Vec<Hash>, Box<dyn Error + Send + Sync>> {
    let unproven = "the stored tiles yield no valid proof; run `sealbus verify --all`";
    let root = ledger.log().root_by_tiles(from).await?.ok_or(unproven)?;
    let proof = ledger.log().consistency_proof(from, checkpoint.size()).await?.ok_or(unproven)?;
    verify_consistency(from, checkpoint.size(), &proof, &root, &checkpoint.root()).map_err(|_| unproven)?;
    Ok(proof)
}
