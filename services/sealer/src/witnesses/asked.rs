//! One witness: what is known of where it stands, and asking it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sealbus_client::{Cosignature, WitnessClient, WitnessError};
use sealbus_core::clock::Clock;
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, MAX_AHEAD_SECONDS};
use sealbus_core::log::merkle::{empty_root, verify_consistency};
use sealbus_core::log::note::{Note, NoteError};
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::Mutex;

/// A witness that has a URL.
pub(crate) struct Asked {
    name: String,
    client: WitnessClient,
    clock: Arc<dyn Clock>,
    /// What it cosigned last, as far as this sealer knows: another one asks it too, and it says so itself where this is wrong.
    size: AtomicU64,
    /// Held while it has a checkpoint in hand.
    in_hand: Mutex<()>,
}

/// Why a witness is not on a note.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCosignature {
    #[error("the policy gives it no URL")]
    Nowhere,
    #[error("it still has an earlier checkpoint in hand")]
    Busy,
    #[error("it did not answer within {time:?}")]
    Late { time: Duration },
    #[error(
        "it refuses this tree as one that does not continue what it cosigned, although the ledger's tiles prove that it does: \
         the log has two histories, or the witness was wronged. It says: {says}"
    )]
    Fork { says: String },
    #[error(
        "it has cosigned {size} leaves of this log, and the ledger holds {held}: the ledger was rolled back, or another database \
         signs with this log's key"
    )]
    Ahead { size: u64, held: u64 },
    #[error("it has cosigned {size} leaves already, which another sealer asked it to")]
    Overtaken { size: u64 },
    #[error("its cosignature is dated {ahead} s ahead, and over {MAX_AHEAD_SECONDS} s does not count")]
    Dated { ahead: u64 },
    #[error("its line has no room on the note: {0}")]
    NoRoom(NoteError),
    #[error("{}", error_chain(.0))]
    Failed(WitnessError),
}

impl NoCosignature {
    /// What it says of the log, where that rather than the witness is wrong.
    pub(crate) fn alarm(&self) -> Option<&'static str> {
        match self {
            Self::Fork { .. } => Some("fork"),
            Self::Ahead { .. } => Some("ahead"),
            _ => None,
        }
    }

    /// The label that it is counted under.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Nowhere | Self::Busy | Self::Late { .. } => "late",
            Self::Fork { .. } => "fork",
            Self::Ahead { .. } => "ahead",
            Self::Overtaken { .. } => "overtaken",
            Self::Dated { .. } | Self::NoRoom(_) | Self::Failed(WitnessError::Unsigned(_)) => "invalid",
            Self::Failed(WitnessError::Unreachable { .. }) => "unreachable",
            Self::Failed(_) => "refused",
        }
    }
}

/// Why the ledger gives no proof to send.
#[derive(Debug, thiserror::Error)]
enum NoProof {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the stored tiles give none that holds; run `sealbus verify --all`")]
    Tiles,
}

impl Asked {
    pub(super) fn new(name: String, client: WitnessClient, clock: Arc<dyn Clock>) -> Self {
        Self { name, client, clock, size: AtomicU64::new(0), in_hand: Mutex::new(()) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks it to cosign the checkpoint, with a proof from wherever it stands.
    pub(super) async fn ask(
        &self,
        ledger: &Ledger,
        checkpoint: &Checkpoint,
        note: &Note,
    ) -> Result<Cosignature, NoCosignature> {
        let Ok(_in_hand) = self.in_hand.try_lock() else { return Err(NoCosignature::Busy) };
        let size = checkpoint.size();
        let known = self.size.load(Ordering::Relaxed).min(size);
        let prove = |from| prove(ledger, from, checkpoint);
        match self.client.add_checkpoint(known, prove, note).await {
            Ok(cosignature) => {
                self.size.store(size, Ordering::Relaxed);
                let ahead = cosignature.time.saturating_sub(self.clock.unix_seconds());
                if ahead > MAX_AHEAD_SECONDS { Err(NoCosignature::Dated { ahead }) } else { Ok(cosignature) }
            }
            Err(WitnessError::Conflict { size: stands }) => {
                self.size.store(stands, Ordering::Relaxed);
                match ledger.log().newest_tree().await {
                    Ok(held) if held.size < stands => Err(NoCosignature::Ahead { size: stands, held: held.size }),
                    _ => Err(NoCosignature::Overtaken { size: stands }),
                }
            }
            Err(WitnessError::Refused { status: 422, message }) => Err(NoCosignature::Fork { says: message }),
            Err(error) => Err(NoCosignature::Failed(error)),
        }
    }
}

/// The proof that the checkpoint continues the tree of `from` leaves. It is checked before it is sent: a witness that refuses it
/// then knows another tree.
async fn prove(ledger: &Ledger, from: u64, checkpoint: &Checkpoint) -> Result<Vec<Hash>, NoProof> {
    let root = if from == 0 { Some(empty_root()) } else { ledger.log().root_by_tiles(from).await? };
    let proof = ledger.log().consistency_proof(from, checkpoint.size()).await?;
    let (root, proof) = root.zip(proof).ok_or(NoProof::Tiles)?;
    let holds = verify_consistency(from, checkpoint.size(), &proof, &root, &checkpoint.root());
    holds.map(|()| proof).map_err(|_| NoProof::Tiles)
}
