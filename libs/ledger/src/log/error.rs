//! Reasons why the log cannot be extended or signed.

use sealbus_core::log::checkpoint::CheckpointError;
use sealbus_core::log::merkle::TreeFull;

/// The stored log is not one tree that continues what was anchored, or it cannot be signed. Nothing was sealed or signed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The table of leaves does not end where the tree does.
    #[error(
        "log_leaves has {leaves} leaves and the tree has {size}; nothing was sealed, run `sealbus verify --all` to find out why"
    )]
    LeafCount {
        /// Leaves in the table.
        leaves: i64,
        /// Leaves in the tree.
        size: u64,
    },
    /// A leaf is missing from the table of leaves, or its hash is not 32 bytes long.
    #[error("leaf {index} is missing from log_leaves; nothing was sealed, run `sealbus verify --all` to find out why")]
    MissingLeaf {
        /// The log index of the leaf.
        index: u64,
    },
    /// The stored tiles do not hash to the stored root.
    #[error(
        "the stored tiles do not hash to the stored root of size {size}; nothing was sealed, run `sealbus verify --all` to \
         find out why"
    )]
    RootMismatch {
        /// The size of the tree.
        size: u64,
    },
    /// The tree does not continue the anchored checkpoint: the history was changed, or the database was restored.
    #[error(
        "the tree of size {size} does not continue the anchored checkpoint of size {anchored}; nothing was signed, run \
         `sealbus verify --all` to find out why"
    )]
    NotContinued {
        /// The size of the tree.
        size: u64,
        /// The size of the checkpoint.
        anchored: u64,
    },
    /// The tree has the highest number of leaves.
    #[error("the log is full")]
    Full(#[source] TreeFull),
    /// Origin, size and root do not make a checkpoint.
    #[error("the tree has no valid checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The log's key signs for another origin.
    #[error("the key of the log does not sign for origin {origin}")]
    OtherOrigin {
        /// The origin of the ledger.
        origin: String,
    },
}
