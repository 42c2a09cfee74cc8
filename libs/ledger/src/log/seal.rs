//! The sealing transaction.
//!
//! The protocol's rules under "Seal": one sealer at a time, by a transaction lock taken as a statement of its own before any
//! read; queue rows are taken in the order of their ids, never by a watermark, and go by exact ids in the same transaction.
//! Leaves, tiles, root and note are stored together or not at all, and the root names the size that it follows: whoever
//! passed the lock would find that size followed already.

use std::collections::HashSet;

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;

use super::Log;
use super::leaves::{Batch, StoppedPlan};
use super::queue::Queued;
use crate::LedgerError;
use crate::commit::commit;
use crate::history::trail::signed;

/// The lock of whoever seals: non-negative, as all but the plans' are. The letters "seal".
const SEALER_LOCK: i64 = 0x7365_616c;
/// Leaves of a log without a tree that one transaction brings into it.
const CATCH_UP: i64 = 50_000;

/// What a root is signed with.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    /// The log's key.
    pub signer: &'a LogSigner,
    /// The newest checkpoint that is known to be anchored: what is signed continues it.
    pub anchored: &'a Checkpoint,
    /// Now, in seconds since 1970.
    pub time: u64,
}

/// What one sealing transaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Leaves added.
    pub leaves: u64,
    /// The signed checkpoint of the tree that it made, where there was something to sign with.
    pub note: Option<Note>,
    /// Plans that stopped in this batch.
    pub stopped: Vec<StoppedPlan>,
    /// Whether another sealer held the lock, so that nothing was done.
    pub elsewhere: bool,
}

impl<'a> Log<'a> {
    /// Gives up to `limit` queued events their leaves, grows the tree by them, and signs its root, in one transaction.
    ///
    /// `stopped` are plans that earlier batches found wrong: their rows are left out, so that each stops alone. An event
    /// whose FORMAT, link, suite, hash or seq is wrong stops its plan and is not passed over. Leaves that are not in the tree
    /// yet, since they were made before there was one, go into it first.
    ///
    /// # Errors
    /// [`LedgerError::Log`] where the stored tree is not what its root says, or does not continue what is anchored: nothing
    /// is sealed then.
    pub async fn seal_batch(
        self,
        limit: u32,
        stopped: &HashSet<i64>,
        signing: Option<Signing<'_>>,
    ) -> Result<Sealed, LedgerError> {
        let mut transaction = self.ledger.pool().begin().await?;
        let leads =
            sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "leads!" -- seal_lock"#, SEALER_LOCK)
                .fetch_one(&mut *transaction)
                .await?;
        if !leads {
            transaction.rollback().await?;
            return Ok(Sealed { elsewhere: true, ..Sealed::default() });
        }
        let head = self.tree_head(&mut transaction).await?;
        let mut hashes = self.leaves_outside(&mut transaction, head.size, CATCH_UP).await?;
        let queued = if hashes.is_empty() { self.queued(&mut transaction, limit, stopped).await? } else { Vec::new() };
        let batch = self.take(&mut transaction, queued, head.size + hashes.len() as u64).await?;
        let Batch { leaves, stopped, .. } = &batch;
        hashes.extend(leaves.iter().map(|leaf| leaf.hash));
        if hashes.is_empty() {
            transaction.rollback().await?;
            return Ok(Sealed { stopped: stopped.clone(), ..Sealed::default() });
        }
        self.add_leaves(&mut transaction, &batch).await?;
        let note = self.grow(&mut transaction, head, &hashes, signing).await?;
        let sealed = Sealed { leaves: hashes.len() as u64, note, stopped: stopped.clone(), elsewhere: false };
        commit(transaction).await?;
        Ok(sealed)
    }

    async fn take(
        self,
        connection: &mut sqlx::PgConnection,
        queued: Vec<Queued>,
        size: u64,
    ) -> Result<Batch<'a>, LedgerError> {
        let last = self.last_leaves(connection, &queued).await?;
        if !queued.is_empty() && last.size != signed(size) {
            return Err(LedgerError::Log(format!("log_leaves ends at {}, and the tree has {size} leaves", last.size)));
        }
        let mut batch = Batch::new(&self.ledger.deployment().origin, last);
        for row in queued {
            batch.take(row);
        }
        Ok(batch)
    }

    /// The hashes of leaves from `size` on, which the tree lacks: at most `limit`.
    async fn leaves_outside(
        self,
        connection: &mut sqlx::PgConnection,
        size: u64,
        limit: i64,
    ) -> Result<Vec<Hash>, LedgerError> {
        let rows = sqlx::query!(
            "-- leaves_outside
            SELECT leaf_index, leaf_hash FROM sealbus.log_leaves WHERE log_id = $1 AND leaf_index >= $2
            ORDER BY leaf_index LIMIT $3",
            self.ledger.deployment().log_id,
            i64::try_from(size).unwrap_or(i64::MAX),
            limit
        )
        .fetch_all(connection)
        .await?;
        let of_row = |(expected, (index, hash)): (u64, (i64, Vec<u8>))| {
            let dense = u64::try_from(index).is_ok_and(|index| index == expected);
            Hash::from_slice(&hash).filter(|_| dense).ok_or_else(|| {
                LedgerError::Log(format!("leaf {expected} is missing from log_leaves, or its hash is none"))
            })
        };
        (size..).zip(rows.into_iter().map(|row| (row.leaf_index, row.leaf_hash))).map(of_row).collect()
    }

    async fn add_leaves(self, connection: &mut sqlx::PgConnection, batch: &Batch<'_>) -> Result<(), LedgerError> {
        let leaves = &batch.leaves;
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
            "-- sealed\nDELETE FROM sealbus.seal_queue WHERE id = ANY ($1)",
            &leaves.iter().map(|leaf| leaf.queue_id).collect::<Vec<_>>()
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
