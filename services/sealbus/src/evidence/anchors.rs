//! The checkpoints that are kept outside the database, and proofs against the newest checkpoint.

use std::collections::HashSet;
use std::sync::Arc;

use sealbus_broker::Broker;
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::proof::EventProof;
use sealbus_ledger::Ledger;
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};

use super::pins::Pins;
use crate::failure::Failure;
use crate::output::notice;

/// The anchors of a deployment that the environment names.
pub(crate) struct Anchors(Vec<Arc<dyn Anchor>>);

impl Anchors {
    /// Opens the file of `SEALBUS_ANCHORS` and the stream of `SEALBUS_NATS_URL`, as far as they are set.
    ///
    /// # Errors
    /// Neither the file nor the stream is set; or only the stream is set, and the broker is unreachable.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let mut anchors: Vec<Arc<dyn Anchor>> = Vec::new();
        anchors.extend(settings.find(table::ANCHORS).map(|path| Arc::new(AnchorFile::new(path)) as Arc<dyn Anchor>));
        if let Some(url) = settings.find(table::NATS_URL) {
            match Broker::connect(url.expose(), "sealbus-verify", settings.get(table::NATS_TIMEOUT)).await {
                Ok(broker) => anchors.push(Arc::new(AnchorStream::new(broker))),
                Err(error) if anchors.is_empty() => return Err(error.into()),
                Err(error) => {
                    notice(format_args!("the stream of checkpoints is not compared: {}", error_chain(&error)));
                }
            }
        }
        if anchors.is_empty() {
            return Err(Failure::new(
                "no anchor is configured, and nothing can be vouched for without one: set SEALBUS_NATS_URL or SEALBUS_ANCHORS",
            ));
        }
        Ok(Self(anchors))
    }

    /// Returns the size of the largest anchored checkpoint that a key of the policy signed; 0 if no checkpoint is.
    pub(super) async fn newest_size(&self, pins: &Pins) -> Result<u64, Failure> {
        Ok(Newest::anchored(&self.notes(false).await?, pins).map_or(0, |newest| newest.size))
    }

    /// Returns all notes of the anchors, or only the last few of each, without duplicates. Reports anchors that cannot be read
    /// on stderr. Fails if none can be read.
    pub(crate) async fn notes(&self, all: bool) -> Result<Vec<Vec<u8>>, Failure> {
        let (mut notes, mut unreadable) = (Vec::new(), Vec::new());
        for anchor in &self.0 {
            match anchor.notes(all).await {
                Ok(read) => notes.extend(read),
                Err(error) => unreadable.push(error_chain(&error)),
            }
        }
        if unreadable.len() == self.0.len() {
            return Err(Failure::new(format!("no anchor can be read: {}", unreadable.join("; "))));
        }
        for error in unreadable {
            notice(format_args!("an anchor is not compared: {error}"));
        }
        // Two anchors usually hold the same notes. The order is kept, so that a repeated run names the same places.
        let mut seen = HashSet::new();
        notes.retain(|note| seen.insert(Hash::of(note)));
        Ok(notes)
    }
}

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
        let proofs = ledger.log().inclusion_proofs(&[index], self.size).await?;
        let Some(hashes) = proofs.and_then(|mut proofs| proofs.pop()) else { return Ok(None) };
        let Ok(note) = Note::parse(self.note.as_bytes()) else { return Ok(None) };
        Ok(Some(EventProof { leaf: record.leaf(), index, hashes, note }.to_string()))
    }
}
