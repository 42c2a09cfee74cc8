//! The stored tree: its newest root, its growth in a sealing transaction, and its signature.
//!
//! Before the tree grows, the tiles of its edge must hash to the stored root. Before it is signed, the stored tiles must prove
//! that it continues what was anchored.

use std::collections::BTreeSet;

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::{ProofNodes, empty_root, verify_consistency};
use sealbus_core::log::note::Note;
use sealbus_core::log::tile::{EdgeTiles, TileId};
use sqlx::PgConnection;

use super::seal::Signing;
use super::{Log, LogError};
use crate::LedgerError;
use crate::pg::Column;

const SIZE: Column = Column::new("log_roots", "size");

/// The size and the root of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The root hash.
    pub root: Hash,
}

impl Log<'_> {
    /// Returns the newest tree whose root is stored; the empty tree if there is none.
    pub async fn newest_tree(self) -> Result<TreeHead, LedgerError> {
        self.tree_head(&mut *self.ledger.pool().acquire().await?).await
    }

    /// Returns the root that the stored tiles hash to for a tree of this size; `None` if tiles are missing.
    pub async fn root_by_tiles(self, size: u64) -> Result<Option<Hash>, LedgerError> {
        Ok(self.edge(&mut *self.ledger.pool().acquire().await?, size).await?.map(|edge| edge.root()))
    }

    /// Reads the newest root.
    pub(super) async fn tree_head(self, connection: &mut PgConnection) -> Result<TreeHead, LedgerError> {
        let row = sqlx::query!(
            "-- tree_head
            SELECT size, root FROM sealbus.log_roots WHERE log_id = $1 ORDER BY size DESC LIMIT 1",
            self.ledger.deployment().log_id
        )
        .fetch_optional(connection)
        .await?;
        let Some(row) = row else { return Ok(TreeHead { size: 0, root: empty_root() }) };
        let root = Column::new("log_roots", "root").of_row(row.size).hash(&row.root)?;
        Ok(TreeHead { size: SIZE.read(row.size)?, root })
    }

    /// Appends leaves to the tree, in a sealing transaction: stores the tiles, the root and, if `signing` is given, the note.
    pub(super) async fn grow(
        self,
        connection: &mut PgConnection,
        from: TreeHead,
        leaf_hashes: &[Hash],
        signing: Option<Signing<'_>>,
    ) -> Result<Option<Note>, LedgerError> {
        let edge = self.edge(connection, from.size).await?.filter(|edge| edge.root() == from.root);
        let mut edge = edge.ok_or(LogError::RootMismatch { size: from.size })?;
        let tiles = edge.append(leaf_hashes).map_err(LogError::Full)?;
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
        Ok(note)
    }

    /// Signs a tree, if the stored tiles prove that it continues what is anchored.
    pub(super) async fn sign(
        self,
        connection: &mut PgConnection,
        head: TreeHead,
        Signing { signer, anchored, time }: Signing<'_>,
    ) -> Result<Note, LedgerError> {
        let (old, size) = (anchored.size(), head.size);
        let proof = match ProofNodes::consistency(old, size) {
            Some(plan) => self.prove(connection, &plan, size).await?,
            None => None,
        };
        let continues =
            proof.is_some_and(|proof| verify_consistency(old, size, &proof, &anchored.root(), &head.root).is_ok());
        if !continues {
            return Err(LogError::NotContinued { size, anchored: old }.into());
        }
        let origin = &self.ledger.deployment().origin;
        let checkpoint = Checkpoint::new(origin, size, head.root).map_err(LogError::Checkpoint)?;
        let note = signer.sign(&checkpoint, time);
        note.ok_or_else(|| LogError::OtherOrigin { origin: origin.clone() }.into())
    }

    /// Builds a proof from the stored tiles; `None` if tiles are missing.
    pub(super) async fn prove(
        self,
        connection: &mut PgConnection,
        plan: &ProofNodes,
        size: u64,
    ) -> Result<Option<Vec<Hash>>, LedgerError> {
        let ids: BTreeSet<TileId> = plan.nodes().filter_map(|node| TileId::holding(node, size)).collect();
        let ids: Vec<TileId> = ids.into_iter().collect();
        let tiles = self.read_tiles(connection, &ids).await?;
        Ok(plan.prove(|node| tiles.hash(node)).ok())
    }

    /// Reads the edge of the tree of this size; `None` if tiles are missing.
    async fn edge(self, connection: &mut PgConnection, size: u64) -> Result<Option<EdgeTiles>, LedgerError> {
        let ids: Vec<TileId> = TileId::partial(size).collect();
        let tiles = self.read_tiles(connection, &ids).await?;
        Ok(EdgeTiles::new(size, &tiles).ok())
    }
}
