//! The stored tree: its newest root, its growth in a sealing transaction, its signature, and proofs from the stored tiles.
//!
//! Before the tree grows, the tiles of its edge must hash to the stored root. Before it is signed, the stored tiles must prove
//! that it continues what was anchored.

use std::collections::BTreeSet;

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::{Node, ProofNodes, empty_root, verify_consistency};
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::log::tile::{EdgeTiles, TileId, Tiles};
use sqlx::PgConnection;

use super::Log;
use crate::LedgerError;
use crate::pg::Column;

const SIZE: Column = Column::new("log_roots", "size");

/// What an operator is told if the stored log is not one tree.
pub(super) const NOT_SEALED: &str = "nothing was sealed, run `sealbus verify --all` to find out why";

/// How a root is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    /// The log's key.
    pub signer: &'a LogSigner,
    /// The newest checkpoint that is known to be anchored. What is signed has to continue it.
    pub anchored: &'a Checkpoint,
    /// The current time, in seconds since 1970.
    pub time: u64,
}

/// The size and the root of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The root hash.
    pub root: Hash,
}

impl Log<'_> {
    /// Returns the newest tree whose root is stored, or the empty tree if no root is stored.
    pub async fn newest_tree(self) -> Result<TreeHead, LedgerError> {
        let lane = self.ledger.reads();
        lane.within(async { self.tree_head(&mut *lane.acquire().await?).await }).await
    }

    /// Returns the root that the stored tiles hash to for a tree of this size; `None` if tiles are missing.
    pub async fn root_by_tiles(self, size: u64) -> Result<Option<Hash>, LedgerError> {
        let lane = self.ledger.reads();
        let edge = lane.within(async { self.edge(&mut *lane.acquire().await?, size).await }).await?;
        Ok(edge.map(|edge| edge.root()))
    }

    /// Returns the proofs of some leaves in the tree of `size` leaves, in their order. Returns `None` if the tree is not stored
    /// or lacks one of the leaves. Each tile is read once.
    pub async fn inclusion_proofs(self, indexes: &[u64], size: u64) -> Result<Option<Vec<Vec<Hash>>>, LedgerError> {
        let plans: Option<Vec<_>> = indexes.iter().map(|index| ProofNodes::inclusion(*index, size)).collect();
        let Some(plans) = plans else { return Ok(None) };
        let (lane, nodes) = (self.ledger.reads(), plans.iter().flat_map(ProofNodes::nodes));
        let tiles = lane.within(async { self.tiles_holding(&mut *lane.acquire().await?, nodes, size).await }).await?;
        Ok(plans.iter().map(|plan| plan.prove(|node| tiles.hash(node)).ok()).collect())
    }

    /// Returns the proof that the tree of `size` leaves continues the tree of `old` leaves. Returns `None` if one of
    /// the trees is not stored.
    pub async fn consistency_proof(self, old: u64, size: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        let lane = self.ledger.reads();
        lane.within(async { self.consistency(&mut *lane.acquire().await?, old, size).await }).await
    }

    /// Reads the newest root.
    pub(super) async fn tree_head(self, connection: &mut PgConnection) -> Result<TreeHead, LedgerError> {
        let newest = sqlx::query!(
            "-- tree_head
            SELECT size, root FROM sealbus.log_roots WHERE log_id = $1 ORDER BY size DESC LIMIT 1",
            self.ledger.deployment().log_id
        );
        let Some(row) = newest.fetch_optional(connection).await? else {
            return Ok(TreeHead { size: 0, root: empty_root() });
        };
        let root = Column::new("log_roots", "root").of_row(row.size).hash(&row.root)?;
        Ok(TreeHead { size: SIZE.read(row.size)?, root })
    }

    /// Appends leaves to the tree, in a sealing transaction: stores the tiles, the root and, if `signing` is given, the note. Returns
    /// the new tree.
    pub(super) async fn grow(
        self,
        connection: &mut PgConnection,
        from: TreeHead,
        leaf_hashes: &[Hash],
        signing: Option<Signing<'_>>,
    ) -> Result<(TreeHead, Option<Note>), LedgerError> {
        let edge = self.edge(connection, from.size).await?.filter(|edge| edge.root() == from.root);
        let mut edge = edge.ok_or_else(|| {
            let size = from.size;
            LedgerError::Log(format!("the stored tiles do not hash to the stored root of size {size}; {NOT_SEALED}"))
        })?;
        let tiles = edge.append(leaf_hashes).map_err(|full| LedgerError::Log(full.to_string()))?;
        self.write_tiles(connection, &tiles).await?;
        let head = TreeHead { size: edge.size(), root: edge.root() };
        let note = match signing {
            Some(signing) => Some(self.sign(connection, head, signing).await?),
            None => None,
        };
        sqlx::query!(
            "-- compare_and_set_root
            INSERT INTO sealbus.log_roots (log_id, size, root, prev_size, note) VALUES ($1, $2, $3, $4, $5)",
            self.ledger.deployment().log_id,
            SIZE.bigint(head.size)?,
            head.root.as_bytes(),
            SIZE.bigint(from.size)?,
            note.as_ref().map(ToString::to_string),
        )
        .execute(connection)
        .await?;
        Ok((head, note))
    }

    /// Signs a tree, if the stored tiles prove that it continues what is anchored.
    pub(super) async fn sign(
        self,
        connection: &mut PgConnection,
        head: TreeHead,
        Signing { signer, anchored, time }: Signing<'_>,
    ) -> Result<Note, LedgerError> {
        let (old, size) = (anchored.size(), head.size);
        let proof = self.consistency(connection, old, size).await?;
        let continues =
            proof.is_some_and(|proof| verify_consistency(old, size, &proof, &anchored.root(), &head.root).is_ok());
        if !continues {
            return Err(LedgerError::Log(format!(
                "the tree of size {size} does not continue the anchored checkpoint of size {old}; nothing was signed, run \
                 `sealbus verify --all` to find out why"
            )));
        }
        signed(signer, &self.ledger.deployment().origin, &head, time)
    }

    async fn consistency(
        self,
        connection: &mut PgConnection,
        old: u64,
        size: u64,
    ) -> Result<Option<Vec<Hash>>, LedgerError> {
        let Some(plan) = ProofNodes::consistency(old, size) else { return Ok(None) };
        let tiles = self.tiles_holding(connection, plan.nodes(), size).await?;
        Ok(plan.prove(|node| tiles.hash(node)).ok())
    }

    /// Reads the tiles that hold these nodes of the tree of this size. Missing ones are left out.
    async fn tiles_holding(
        self,
        connection: &mut PgConnection,
        nodes: impl Iterator<Item = Node>,
        size: u64,
    ) -> Result<Tiles, LedgerError> {
        let ids: BTreeSet<TileId> = nodes.filter_map(|node| TileId::holding(node, size)).collect();
        self.read_tiles(connection, ids).await
    }

    /// Reads the edge of the tree of this size; `None` if tiles are missing.
    async fn edge(self, connection: &mut PgConnection, size: u64) -> Result<Option<EdgeTiles>, LedgerError> {
        let tiles = self.read_tiles(connection, TileId::partial(size)).await?;
        Ok(EdgeTiles::new(size, &tiles).ok())
    }
}

/// Returns the checkpoint of a tree of the log with this origin, signed at `time` (seconds since 1970).
pub(super) fn signed(signer: &LogSigner, origin: &str, head: &TreeHead, time: u64) -> Result<Note, LedgerError> {
    let checkpoint = Checkpoint::new(origin, head.size, head.root)
        .map_err(|error| LedgerError::Log(format!("the tree has no valid checkpoint: {error}")))?;
    let other_origin = || LedgerError::Log(format!("the key of the log does not sign for origin {origin}"));
    signer.sign(&checkpoint, time).ok_or_else(other_origin)
}
