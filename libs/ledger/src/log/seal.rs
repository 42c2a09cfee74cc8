//! The sealing transaction (`docs/spec/protocol.md#seal`).
//!
//! One sealer at a time seals: the first statement takes a transaction lock, before any read. Queue rows are taken in the order
//! of their ids, never by a watermark, and deleted by exact ids in the same transaction. Leaves, tiles, root and note are stored
//! together or not at all. The row of the root names the size that it follows; if the lock failed, a second sealer would violate
//! a unique constraint there.

use sealbus_core::hash::Hash;
use sealbus_core::log::note::Note;
use sqlx::{Connection as _, PgConnection};

use super::Log;
use super::leaves::{Batch, NewLeaf, StoppedPlan};
use super::state::SealingState;
use super::tree::{NOT_SEALED, Signing};
use crate::LedgerError;
use crate::commit::commit;
use crate::pg::bound;

/// The advisory lock of the sealer, which spells "seal". Like all locks except those of plans it is not negative.
const SEALER_LOCK: i64 = 0x7365_616c;
/// The highest number of leaves that one transaction adds to the tree if they are in the table and not in the tree.
const MAX_CATCH_UP: i64 = 50_000;

/// The result of one sealing transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealed {
    /// The number of leaves that were added to the tree.
    pub leaves: u64,
    /// The signed checkpoint of the new tree. It is `None` if nothing was sealed or no signer was given.
    pub note: Option<Note>,
    /// The plans that were stopped in this transaction.
    pub stopped: Vec<StoppedPlan>,
    /// Whether the database is not on the state's [basis](SealingState::basis), so that nothing was done: another sealer has
    /// sealed, or the server was restarted or replaced. The anchors have to be read before a transaction with a new state.
    pub basis_changed: bool,
}

impl Log<'_> {
    /// Seals up to `limit` queued events in one transaction: gives them their leaves, extends the tree and signs its root.
    ///
    /// An event whose format, link, suite, hash or seq is wrong stops its plan: its rows are left out until
    /// [`SealingState::read_all`], so that they do not delay others. Leaves that are in the table and not in the tree are added to
    /// the tree first, without new ones.
    ///
    /// # Errors
    /// [`LedgerError::Log`] if the stored tree does not match its root, or does not continue what is anchored. Nothing is sealed
    /// then.
    pub async fn seal_batch(
        self,
        limit: u32,
        state: &mut SealingState,
        signing: Option<Signing<'_>>,
    ) -> Result<Sealed, LedgerError> {
        let operation = async {
            let mut connection = self.ledger.confirmed_connection(self.ledger.background()).await?;
            let sealed = self.seal_on(&mut connection, limit, state, signing).await?;
            connection.release();
            Ok(sealed)
        };
        self.ledger.background().within(operation).await
    }

    async fn seal_on(
        self,
        connection: &mut PgConnection,
        limit: u32,
        state: &mut SealingState,
        signing: Option<Signing<'_>>,
    ) -> Result<Sealed, LedgerError> {
        let mut transaction = connection.begin().await?;
        let lock =
            sqlx::query_scalar!("-- seal_lock\nSELECT pg_try_advisory_xact_lock($1) AS \"locked!\"", SEALER_LOCK);
        if !lock.fetch_one(&mut *transaction).await? {
            transaction.rollback().await?;
            return Ok(Sealed::default()); // Another sealer has the lock.
        }
        let basis = self.read_basis(&mut transaction).await?;
        if state.basis.as_ref().is_some_and(|expected| *expected != basis) {
            transaction.rollback().await?;
            return Ok(Sealed { basis_changed: true, ..Sealed::default() });
        }
        let head = basis.tree;
        let mut hashes = self.leaves_outside(&mut transaction, head.size).await?;
        let queued = if hashes.is_empty() { self.queued(&mut transaction, limit, state).await? } else { Vec::new() };
        let last = self.last_leaves(&mut transaction, &queued).await?;
        if !queued.is_empty() && u64::try_from(last.size) != Ok(head.size) {
            let (leaves, size) = (last.size, head.size);
            let counts = format!("log_leaves has {leaves} leaves and the tree has {size}; {NOT_SEALED}");
            return Err(LedgerError::Log(counts));
        }
        let mut batch = Batch::new(&self.ledger.deployment().origin, last);
        for row in queued {
            batch.take(row);
        }
        let Batch { leaves, stopped, .. } = batch;
        state.stopped.extend(stopped.iter().map(|plan| plan.plan_no));
        hashes.extend(leaves.iter().map(|leaf| leaf.hash));
        if hashes.is_empty() {
            transaction.rollback().await?;
            return Ok(Sealed { stopped, ..Sealed::default() });
        }
        self.add_leaves(&mut transaction, &leaves).await?;
        let (tree, note) = self.grow(&mut transaction, head, &hashes, signing).await?;
        commit(transaction).await?;
        if let Some(basis) = &mut state.basis {
            basis.tree = tree;
        }
        Ok(Sealed { leaves: hashes.len() as u64, note, stopped, ..Sealed::default() })
    }

    /// Reads the hashes of up to [`MAX_CATCH_UP`] leaves that the tree of this size lacks.
    async fn leaves_outside(self, connection: &mut PgConnection, size: u64) -> Result<Vec<Hash>, LedgerError> {
        let rows = sqlx::query!(
            "-- leaves_outside
            SELECT leaf_index, leaf_hash FROM sealbus.log_leaves WHERE log_id = $1 AND leaf_index >= $2
            ORDER BY leaf_index LIMIT $3",
            self.ledger.deployment().log_id,
            bound(size),
            MAX_CATCH_UP
        );
        let hashes = (size..).zip(rows.fetch_all(connection).await?).map(|(index, row)| {
            let hash = Hash::from_slice(&row.leaf_hash).filter(|_| u64::try_from(row.leaf_index) == Ok(index));
            hash.ok_or_else(|| LedgerError::Log(format!("leaf {index} is missing from log_leaves; {NOT_SEALED}")))
        });
        hashes.collect()
    }

    /// Stores new leaves and deletes their rows of the seal queue.
    async fn add_leaves(self, connection: &mut PgConnection, leaves: &[NewLeaf]) -> Result<(), LedgerError> {
        if leaves.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "-- add_leaves
            INSERT INTO sealbus.log_leaves (log_id, leaf_index, plan_no, seq, partition, leaf_hash)
            SELECT $1, l.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bytea[]) AS l",
            self.ledger.deployment().log_id,
            &leaves.iter().map(|leaf| leaf.index).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.plan_no).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.seq).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.partition).collect::<Vec<_>>(),
            &leaves.iter().map(|leaf| leaf.hash.as_bytes().as_slice()).collect::<Vec<_>>() as &[&[u8]],
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "-- delete_sealed\nDELETE FROM sealbus.seal_queue WHERE id = ANY ($1)",
            &leaves.iter().map(|leaf| leaf.queue_id).collect::<Vec<_>>()
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
