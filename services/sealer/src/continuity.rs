//! The check that the database's log continues what is anchored (docs/spec/integrity.md#log-restore).
//!
//! It is made at the start, and again whenever another sealer has sealed or the database is not the same server any more
//! ([`SealingBasis`]): only then can the anchors hold what this sealer does not know of.

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_ledger::log::SealingBasis;
use sealbus_ledger::{Ledger, LedgerError};

use crate::{Resources, anchors};

/// The reason why a sealer refuses to sign.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No anchor can be read.
    #[error("no anchor can be read, so nothing is signed until one can: {}", .0.join("; "))]
    Unreadable(Vec<String>),
    /// The log was not initialised.
    #[error("the log has no first checkpoint, so nothing is signed: run `sealbus log init` once for a new ledger")]
    NotInitialised,
    /// The log was initialised, but the anchors have no checkpoint of it.
    #[error(
        "the anchors ({anchors}) hold no checkpoint of this log, although it was initialised: they were emptied, replaced, \
         or belong to another deployment. Nothing is signed until they are restored. If they were replaced on purpose, \
         compare `sealbus verify --all` with what you know of this log, then run `sealbus log init --again`"
    )]
    NotAnchored {
        /// The names of the anchors.
        anchors: String,
    },
    /// The database's log is shorter than the one that is anchored, or that this process has signed.
    #[error(
        "the database holds {size} leaves of the log, but a signed checkpoint has {anchored}: it was rolled back by a \
         restore, or by a failover that lost commits. Signing or new leaves would fork the log, so nothing is sealed. Bring \
         the database to a state that has all {anchored} leaves, or recover the lost events"
    )]
    RolledBack {
        /// The number of leaves in the database.
        size: u64,
        /// The number of leaves of the signed checkpoint.
        anchored: u64,
    },
    /// The database's log has another root than the one that is anchored, or that this process has signed.
    #[error(
        "the database's log is not the signed one: its root at {anchored} leaves differs. Nothing is sealed; run \
         `sealbus verify --all`, which reports what was changed"
    )]
    RootMismatch {
        /// The number of leaves of the signed checkpoint.
        anchored: u64,
    },
}

impl Refusal {
    /// Returns a name for metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::NotInitialised => "not_initialised",
            Self::NotAnchored { .. } => "not_anchored",
            Self::RolledBack { .. } => "rolled_back",
            Self::RootMismatch { .. } => "root_mismatch",
        }
    }

    /// Returns whether events may get their leaves nevertheless. They may not in a log that is known to lack anchored leaves:
    /// leaves cannot be taken back, so that the log could never continue its anchors again.
    pub(crate) fn allows_leaves(&self) -> bool {
        !matches!(self, Self::RolledBack { .. } | Self::RootMismatch { .. })
    }
}

/// Compares the database's log with what this process has signed and with the anchors. Returns the newest checkpoint of them, or
/// why nothing may be signed, with the basis on which that was found. `signed` is the newest checkpoint that this process has
/// signed: it counts whatever the anchors hold or say, since anchors or witnesses may be about to keep it.
pub(crate) async fn establish(
    resources: &Resources,
    signed: Option<Checkpoint>,
) -> Result<(SealingBasis, Result<Checkpoint, Refusal>), LedgerError> {
    // Read before the anchors: if the database changes from here on, what the anchors say does not count.
    let basis = resources.ledger.log().basis().await?;
    Ok((basis, check(resources, signed).await?))
}

/// Returns the newest checkpoint if the database's log continues it.
async fn check(resources: &Resources, signed: Option<Checkpoint>) -> Result<Result<Checkpoint, Refusal>, LedgerError> {
    let ledger = &resources.ledger;
    if let Some(signed) = &signed
        && let Err(refusal) = continues(ledger, signed).await?
    {
        return Ok(Err(refusal));
    }
    let key = resources.signer.verifier_key();
    let contents = anchors::newest(&resources.anchors, &ledger.deployment().origin, &key).await;
    if contents.readable == 0 {
        return Ok(Err(Refusal::Unreadable(contents.unreadable)));
    }
    if ledger.log().first_checkpoint().await?.is_none() {
        return Ok(Err(Refusal::NotInitialised));
    }
    let Some(newest) = contents.newest else {
        let names: Vec<String> = resources.anchors.iter().map(|anchor| anchor.name()).collect();
        return Ok(Err(Refusal::NotAnchored { anchors: names.join(", ") }));
    };
    let newer = signed.filter(|signed| signed.size() > newest.size());
    Ok(continues(ledger, &newest).await?.map(|()| newer.unwrap_or(newest)))
}

/// Returns an error if the database's log does not continue a checkpoint.
async fn continues(ledger: &Ledger, checkpoint: &Checkpoint) -> Result<Result<(), Refusal>, LedgerError> {
    let (anchored, tree) = (checkpoint.size(), ledger.log().newest_tree().await?);
    if tree.size < anchored {
        return Ok(Err(Refusal::RolledBack { size: tree.size, anchored }));
    }
    if ledger.log().root_by_tiles(anchored).await? != Some(checkpoint.root()) {
        return Ok(Err(Refusal::RootMismatch { anchored }));
    }
    Ok(Ok(()))
}
