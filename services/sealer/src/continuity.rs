//! Before anything is signed: whether the database's log continues what is anchored (INTEGRITY, The log, Restore hazard).

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_ledger::{Ledger, LedgerError};

use crate::anchors::Held;

/// Why a sealer does not sign.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody has begun the log.
    #[error("the log has no first checkpoint, so nothing is sealed: run `sealbus log init` once, for a new ledger")]
    NotBegun,
    /// The anchors know nothing of a log that was begun.
    #[error(
        "the anchors ({anchors}) hold no checkpoint of this log, although it was begun: they were emptied, exchanged, or are \
         another deployment's. Nothing is sealed until they are put right; if they were exchanged on purpose, compare \
         `sealbus verify --all` with what you know of this log, then run `sealbus log init --again`"
    )]
    Forgotten {
        /// Their names.
        anchors: String,
    },
    /// The database's log ends before what is anchored.
    #[error(
        "the database holds {size} leaves of the log, and {anchored} are anchored: it was rolled back, by a restore or a \
         failover that lost commits. Signing now would fork the log, so nothing is sealed. Bring the database to a state that \
         has all {anchored}, or recover the lost events"
    )]
    RolledBack {
        /// Leaves of the tree in the database.
        size: u64,
        /// Leaves of the anchored tree.
        anchored: u64,
    },
    /// It has as many leaves, and others.
    #[error(
        "the database's log is not the one that is anchored: with {anchored} leaves it has another root. Nothing is sealed; \
         run `sealbus verify --all`, which says what was changed"
    )]
    Differs {
        /// Leaves of the anchored tree.
        anchored: u64,
    },
    /// The database could not say.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The anchored checkpoint that the database's log continues.
///
/// # Errors
/// A [`Refusal`]: nothing may be signed.
pub(crate) async fn check(ledger: &Ledger, held: &Held, anchors: &str) -> Result<Checkpoint, Refusal> {
    if ledger.log().first_checkpoint().await?.is_none() {
        return Err(Refusal::NotBegun);
    }
    let Some(newest) = &held.newest else { return Err(Refusal::Forgotten { anchors: anchors.to_owned() }) };
    let (anchored, tree) = (newest.size(), ledger.log().newest_tree().await?);
    if tree.size < anchored {
        return Err(Refusal::RolledBack { size: tree.size, anchored });
    }
    let root = if anchored == 0 { Some(empty_root()) } else { ledger.log().root_by_tiles(anchored).await? };
    if root != Some(newest.root()) {
        return Err(Refusal::Differs { anchored });
    }
    Ok(newest.clone())
}
