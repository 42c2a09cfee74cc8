//! The stored tree: tiles and roots. It grows inside a sealing transaction; served tiles are read from it.
//!
//! What is read is never believed for being stored: the edge has to give the stored root before the tree grows, and what is
//! signed has to continue what was anchored.

use std::collections::BTreeSet;

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::{ProofNodes, empty_root, verify_consistency};
use sealbus_core::log::note::Note;
use sealbus_core::log::tile::{EdgeTiles, TileId};
use sqlx::PgConnection;

use super::Log;
use super::seal::Signing;
use crate::LedgerError;
use crate::history::trail::signed;

/// A tree: its size and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Log<'_> {
    /// The newest tree whose root is stored; the one without leaves where there is none yet.
    pub async fn newest_tree(self) -> Result<TreeHead, LedgerError> {
        self.tree_head(&mut *self.ledger.pool().acquire().await?).await
    }

    /// The root that the stored tiles give for a tree of this size; none where they do not reach so far.
    pub async fn root_by_tiles(self, size: u64) -> Result<Option<Hash>, LedgerError> {
        Ok(self.edge(&mut *self.ledger.pool().acquire().await?, size).await?.map(|edge| edge.root()))
    }

    pub(super) async fn tree_head(self, connection: &mut PgConnection) -> Result<TreeHead, LedgerError> {
        let row = sqlx::query!(
            "-- tree_head
            SELECT size, root FROM sealbus.log_roots WHERE log_id = $1 ORDER BY size DESC LIMIT 1",
            self.ledger.deployment().log_id
        )
        .fetch_optional(connection)
        .await?;
        let Some(row) = row else { return Ok(TreeHead { size: 0, root: empty_root() }) };
        match (u64::try_from(row.size), Hash::from_slice(&row.root)) {
            (Ok(size), Some(root)) => Ok(TreeHead { size, root }),
            _ => Err(LedgerError::Log("the newest row of log_roots is not of its form".into())),
        }
    }

    /// Appends leaves to the tree, inside a sealing transaction: its tiles, its root, and the note over it.
    pub(super) async fn grow(
        self,
        connection: &mut PgConnection,
        from: TreeHead,
        leaf_hashes: &[Hash],
        signing: Option<Signing<'_>>,
    ) -> Result<Option<Note>, LedgerError> {
        let edge = self.edge(connection, from.size).await?.filter(|edge| edge.root() == from.root);
        let mut edge = edge.ok_or_else(|| {
            LedgerError::Log(format!("the stored tiles do not give the root that is stored for size {}", from.size))
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
            signed(head.size),
            head.root.as_bytes(),
            signed(from.size),
            note.as_ref().map(ToString::to_string),
        )
        .execute(connection)
        .await?;
        Ok(note)
    }

    /// Signs a tree, after it was shown by the stored tiles that it continues what is anchored.
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
            return Err(LedgerError::Log(format!(
                "the tree of size {size} does not continue the anchored checkpoint of size {old}: nothing is signed"
            )));
        }
        let checkpoint = Checkpoint::new(&self.ledger.deployment().origin, size, head.root)
            .map_err(|error| LedgerError::Log(error.to_string()))?;
        signer.sign(&checkpoint, time).ok_or_else(|| {
            LedgerError::Log(format!("the log's key signs for another origin than {}", self.ledger.deployment().origin))
        })
    }

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

    async fn edge(self, connection: &mut PgConnection, size: u64) -> Result<Option<EdgeTiles>, LedgerError> {
        let ids: Vec<TileId> = TileId::partial(size).collect();
        let tiles = self.read_tiles(connection, &ids).await?;
        Ok(EdgeTiles::new(size, &tiles).ok())
    }
}
