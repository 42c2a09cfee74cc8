//! Checkpoints: the first one of a log, those that are stored with their roots, and the one that is shown to readers.

use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;
use sqlx::Connection as _;

use super::tree::{Signing, signed};
use super::{Log, SealingBasis, TreeHead};
use crate::LedgerError;
use crate::commit::commit;
use crate::pg::{Column, bound};

const NOTE: Column = Column::new("log_roots", "note");

impl Log<'_> {
    /// Creates and signs the log's first checkpoint, of size 0 and dated `time` (seconds since 1970), unless it exists. Returns
    /// the first checkpoint, and whether it is new.
    ///
    /// An operator does this. A sealer never does, because it could not tell a new log from one that was lost.
    pub async fn begin(self, signer: &LogSigner, time: u64) -> Result<(Note, bool), LedgerError> {
        let root = empty_root();
        let note = signed(signer, &self.ledger.deployment().origin, &TreeHead { size: 0, root }, time)?;
        let begun = sqlx::query!(
            "-- begin_log
            INSERT INTO sealbus.log_roots (log_id, size, root, prev_size, note) VALUES ($1, 0, $2, NULL, $3)
            ON CONFLICT DO NOTHING",
            self.ledger.deployment().log_id,
            root.as_bytes(),
            note.to_string(),
        );
        if begun.execute(self.ledger.background()).await?.rows_affected() == 1 {
            return Ok((note, true));
        }
        let stored = self.first_checkpoint().await?;
        Ok((stored.ok_or_else(|| NOTE.of_row(0).corrupt("the first checkpoint is missing"))?, false))
    }

    /// Returns the log's first checkpoint; `None` until [`Log::begin`] created it.
    pub async fn first_checkpoint(self) -> Result<Option<Note>, LedgerError> {
        let note = sqlx::query_scalar!(
            "-- first_checkpoint\nSELECT note FROM sealbus.log_roots WHERE log_id = $1 AND size = 0",
            self.ledger.deployment().log_id
        );
        let Some(note) = note.fetch_optional(self.ledger.reads()).await?.flatten() else { return Ok(None) };
        let parsed = Note::parse(note.as_bytes());
        parsed.map(Some).map_err(|error| NOTE.of_row(0).corrupt(format!("not a signed note: {error}")))
    }

    /// Signs the newest stored tree: a heartbeat, or the first signature of a tree that grew unsigned. Returns `None` if the
    /// database is not on `basis` any more: the anchors have to be read again first.
    ///
    /// The tree may have been committed with a warning, so that synchronous standbys lack it. The transaction therefore writes a
    /// message into the WAL, and its commit waits until the standbys have that and all that precedes it.
    ///
    /// # Errors
    /// [`LedgerError::Log`] if the tree does not continue what is anchored. [`LedgerError::OutcomeUnknown`] if the standbys may
    /// lack it.
    pub async fn sign_newest(self, signing: Signing<'_>, basis: &SealingBasis) -> Result<Option<Note>, LedgerError> {
        let operation = async {
            let mut connection = self.ledger.confirmed_connection(self.ledger.background()).await?;
            let mut transaction = connection.begin().await?;
            let now = self.read_basis(&mut transaction).await?;
            if now != *basis {
                transaction.rollback().await?;
                connection.release();
                return Ok(None);
            }
            sqlx::query!("-- wait_for_standbys\nSELECT pg_logical_emit_message(true, '', '')::text AS lsn")
                .fetch_one(&mut *transaction)
                .await?;
            let note = self.sign(&mut transaction, now.tree, signing).await?;
            commit(transaction).await?;
            connection.release();
            Ok(Some(note))
        };
        self.ledger.background().within(operation).await
    }

    /// Deletes the roots of these sizes, with their notes. The first root and the newest signed one are kept: the statement fails if
    /// `sizes` contains one of them.
    pub async fn delete_roots(self, sizes: &[u64]) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- delete_roots\nDELETE FROM sealbus.log_roots WHERE log_id = $1 AND size = ANY ($2)",
            self.ledger.deployment().log_id,
            &sizes.iter().map(|size| bound(*size)).collect::<Vec<_>>(),
        )
        .execute(self.ledger.background())
        .await?;
        Ok(())
    }

    /// Shows an anchored checkpoint of this size to readers, unless a larger one is shown already.
    pub async fn show_checkpoint(self, size: u64, note: &Note) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- show_checkpoint
            INSERT INTO sealbus.checkpoints AS c (log_id, size, note) VALUES ($1, $2, $3)
            ON CONFLICT (log_id) DO UPDATE SET size = excluded.size, note = excluded.note, shown_at = clock_timestamp()
            WHERE c.size <= excluded.size",
            self.ledger.deployment().log_id,
            Column::new("checkpoints", "size").bigint(size)?,
            note.to_string(),
        )
        .execute(self.ledger.background())
        .await?;
        Ok(())
    }

    /// Returns size and text of the checkpoint that is shown to readers; `None` until the first one is anchored.
    pub async fn shown_checkpoint(self) -> Result<Option<(u64, String)>, LedgerError> {
        let shown = sqlx::query!(
            "-- shown_checkpoint\nSELECT size, note FROM sealbus.checkpoints WHERE log_id = $1",
            self.ledger.deployment().log_id
        );
        let row = shown.fetch_optional(self.ledger.reads()).await?;
        row.map(|row| Ok((Column::new("checkpoints", "size").read(row.size)?, row.note))).transpose()
    }

    /// Returns the text of the newest note that is stored with a root. It is not verified.
    pub async fn newest_note(self) -> Result<Option<String>, LedgerError> {
        let note = sqlx::query_scalar!(
            r#"-- newest_stored_note
            SELECT note AS "note!" FROM sealbus.log_roots WHERE log_id = $1 AND note IS NOT NULL ORDER BY size DESC LIMIT 1"#,
            self.ledger.deployment().log_id,
        );
        Ok(note.fetch_optional(self.ledger.reads()).await?)
    }
}
