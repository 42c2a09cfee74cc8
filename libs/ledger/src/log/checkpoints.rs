//! Checkpoints in the database: the first of a log, those that were stored with their roots, and the one that is shown.

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;

use super::Log;
use super::seal::Signing;
use crate::LedgerError;
use crate::history::trail::signed;

impl Log<'_> {
    /// Makes the log's first checkpoint, of size 0, unless there is one; gives the one there is, and whether it is new.
    ///
    /// An operator's act: a sealer never does it by itself, since it could not tell a new log from one that was lost.
    pub async fn begin(self, signer: &LogSigner, time: u64) -> Result<(Note, bool), LedgerError> {
        let empty = Checkpoint::new(&self.ledger.deployment().origin, 0, empty_root())
            .map_err(|error| LedgerError::Log(error.to_string()))?;
        let note = signer.sign(&empty, time).ok_or_else(|| {
            LedgerError::Log(format!("the log's key signs for another origin than {}", self.ledger.deployment().origin))
        })?;
        let root = empty_root();
        let begun = sqlx::query!(
            "-- begin_log
            INSERT INTO sealbus.log_roots (log_id, size, root, prev_size, note) VALUES ($1, 0, $2, NULL, $3)
            ON CONFLICT DO NOTHING",
            self.ledger.deployment().log_id,
            root.as_bytes(),
            note.to_string(),
        )
        .execute(self.ledger.pool())
        .await?;
        if begun.rows_affected() == 1 {
            return Ok((note, true));
        }
        let stored = self.first_checkpoint().await?;
        Ok((stored.ok_or_else(|| LedgerError::Log("the row of size 0 in log_roots has no note".into()))?, false))
    }

    /// The log's first checkpoint; none until [`Log::begin`].
    pub async fn first_checkpoint(self) -> Result<Option<Note>, LedgerError> {
        let note = sqlx::query_scalar!(
            "-- first_checkpoint\nSELECT note FROM sealbus.log_roots WHERE log_id = $1 AND size = 0",
            self.ledger.deployment().log_id
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        note.flatten().map(|note| parse(&note)).transpose()
    }

    /// Signs the newest stored tree with a new time: the heartbeat, or the first signature of a tree that grew unsigned.
    pub async fn sign_newest(self, signing: Signing<'_>) -> Result<Note, LedgerError> {
        let mut connection = self.ledger.pool().acquire().await?;
        let head = self.tree_head(&mut connection).await?;
        self.sign(&mut connection, head, signing).await
    }

    /// Shows an anchored checkpoint to readers, unless a larger one is shown already.
    pub async fn show_checkpoint(self, size: u64, note: &Note) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- show_checkpoint
            INSERT INTO sealbus.checkpoints AS c (log_id, size, note) VALUES ($1, $2, $3)
            ON CONFLICT (log_id) DO UPDATE SET size = excluded.size, note = excluded.note, shown_at = clock_timestamp()
            WHERE c.size <= excluded.size",
            self.ledger.deployment().log_id,
            signed(size),
            note.to_string(),
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(())
    }

    /// The size and text of the checkpoint that is shown; none before the first is anchored.
    pub async fn shown_checkpoint(self) -> Result<Option<(u64, String)>, LedgerError> {
        let row = sqlx::query!(
            "-- shown_checkpoint\nSELECT size, note FROM sealbus.checkpoints WHERE log_id = $1",
            self.ledger.deployment().log_id
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        Ok(row.map(|row| (row.size.unsigned_abs(), row.note)))
    }

    /// The newest note that is stored with a root, as it stands there: who verifies opens it.
    pub async fn newest_note(self) -> Result<Option<String>, LedgerError> {
        let note = sqlx::query_scalar!(
            r#"-- newest_stored_note
            SELECT note AS "note!" FROM sealbus.log_roots WHERE log_id = $1 AND note IS NOT NULL ORDER BY size DESC LIMIT 1"#,
            self.ledger.deployment().log_id,
        )
        .fetch_optional(self.ledger.pool())
        .await?;
        Ok(note)
    }
}

fn parse(note: &str) -> Result<Note, LedgerError> {
    Note::parse(note.as_bytes()).map_err(|error| LedgerError::Log(format!("a stored checkpoint is no note: {error}")))
}
