//! The newest checkpoint of a ledger, and proofs against it.

use sealbus_core::event::Record;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::proof::EventProof;
use sealbus_ledger::Ledger;

use super::pins::Pins;
use crate::failure::Failure;

/// A checkpoint that records are proven against.
pub(crate) struct Newest {
    /// The note as it is stored.
    pub note: String,
    /// Leaves of the checkpoint's tree; 0 if the note cannot be read.
    pub size: u64,
}

impl Newest {
    /// Returns the note that the ledger stored last, whether it is valid or not. Returns an empty text if
    /// the ledger stored nothing.
    pub(super) async fn stored(ledger: &Ledger) -> Result<Self, Failure> {
        let note = ledger.log().newest_note().await?.unwrap_or_default();
        let parsed = Note::parse(note.as_bytes()).ok().and_then(|note| note.text().parse::<Checkpoint>().ok());
        Ok(Self { size: parsed.map_or(0, |checkpoint| checkpoint.size()), note })
    }

    /// Returns the valid anchored note with the most leaves. If several have as many, returns the last one, which has the
    /// newest time.
    pub(crate) fn anchored(notes: &[Vec<u8>], pins: &Pins) -> Result<Self, Failure> {
        let opened = notes.iter().filter_map(|note| {
            let note = Note::parse(note).ok()?;
            let size = pins.policy.open(&note, &pins.origin).ok()?.checkpoint().size();
            Some(Self { size, note: note.to_string() })
        });
        opened.max_by_key(|newest| newest.size).ok_or_else(|| {
            Failure::new(
                "no checkpoint of this log is anchored yet, so nothing can be proven; check that a sealer runs",
            )
        })
    }

    /// Returns the proof of a record. Returns `None` if the checkpoint does not cover the record, or if the stored tiles give
    /// no proof.
    pub(crate) async fn prove(&self, ledger: &Ledger, record: &Record) -> Result<Option<String>, Failure> {
        let Some(index) = record.log_index else { return Ok(None) };
        let Some(hashes) = ledger.log().inclusion_proof(index, self.size).await? else { return Ok(None) };
        let Ok(note) = Note::parse(self.note.as_bytes()) else { return Ok(None) };
        Ok(Some(EventProof { leaf: record.leaf(), index, hashes, note }.to_string()))
    }
}
