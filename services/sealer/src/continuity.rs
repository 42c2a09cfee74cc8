//! The check at the start that the database's log continues what is anchored (docs/spec/integrity.md#log-restore).

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_ledger::{Ledger, LedgerError};

use crate::anchors::Contents;

/// The reason why a sealer refuses to sign.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The log was not initialised.
    #[error("the log has no first checkpoint, so nothing is sealed: run `sealbus log init` once for a new ledger")]
    NotInitialised,
    /// The log was initialised, but the anchors have no checkpoint of it.
    #[error(
        "the anchors ({anchors}) hold no checkpoint of this log, although it was initialised: they were emptied, replaced, \
         or belong to another deployment. Nothing is sealed until they are restored. If they were replaced on purpose, \
         compare `sealbus verify --all` with what you know of this log, then run `sealbus log init --again`"
    )]
    NotAnchored {
        /// The names of the anchors.
        anchors: String,
    },
    /// The database's log is shorter than the anchored one.
    #[error(
        "the database holds {size} leaves of the log, but {anchored} are anchored: it was rolled back by a restore, or by \
         a failover that lost commits. Signing now would fork the log, so nothing is sealed. Bring the database to a state \
         that has all {anchored} leaves, or recover the lost events"
    )]
    RolledBack {
        /// The number of leaves in the database.
        size: u64,
        /// The number of anchored leaves.
        anchored: u64,
    },
    /// The database's log has another root than the anchored one.
    #[error(
        "the database's log is not the anchored one: its root at {anchored} leaves differs. Nothing is sealed; run \
         `sealbus verify --all`, which reports what was changed"
    )]
    RootMismatch {
        /// The number of anchored leaves.
        anchored: u64,
    },
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Returns the newest anchored checkpoint if the database's log continues it.
///
/// # Errors
/// A [`Refusal`] if it does not, so that nothing may be signed.
pub(crate) async fn check(ledger: &Ledger, contents: &Contents, anchors: &str) -> Result<Checkpoint, Refusal> {
    if ledger.log().first_checkpoint().await?.is_none() {
        return Err(Refusal::NotInitialised);
    }
    let Some(newest) = &contents.newest else { return Err(Refusal::NotAnchored { anchors: anchors.to_owned() }) };
    let (anchored, tree) = (newest.size(), ledger.log().newest_tree().await?);
    if tree.size < anchored {
        return Err(Refusal::RolledBack { size: tree.size, anchored });
    }
    if ledger.log().root_by_tiles(anchored).await? != Some(newest.root()) {
        return Err(Refusal::RootMismatch { anchored });
    }
    Ok(newest.clone())
}
