//! The checkpoints that are kept outside the database, and proofs against the newest checkpoint.

use std::collections::HashSet;
use std::path::PathBuf;

use sealbus_broker::Broker;
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::note::Note;
use sealbus_core::log::proof::EventProof;
use sealbus_core::verify::{AnchorRead, AnchorState};
use sealbus_ledger::Ledger;
use sealbus_runtime::settings::{Settings, table};
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};

use super::pins::Pins;
use crate::failure::Failure;

/// The anchors of a deployment that the environment names.
pub(crate) struct Anchors(Vec<Source>);

/// An anchor, opened or not.
enum Source {
    /// The file at this path.
    File(PathBuf),
    /// The stream of checkpoints, or the reason why its broker is unreachable.
    Stream(Result<Box<AnchorStream>, String>),
}

/// The notes of all anchors that could be read.
pub(crate) struct AnchoredNotes {
    /// The notes without duplicates, oldest first. They are not verified.
    pub notes: Vec<Vec<u8>>,
    /// Each anchor, and how it was read.
    pub anchors: Vec<AnchorRead>,
}

impl Anchors {
    /// Opens the file of `SEALBUS_ANCHORS` and the stream of `SEALBUS_NATS_URL`, as far as they are set. Fails if neither is set.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let mut anchors = Vec::new();
        anchors.extend(settings.find(table::ANCHORS).map(Source::File));
        if let Some(url) = settings.find(table::NATS_URL) {
            let broker = Broker::connect(url.expose(), "sealbus-verify", settings.get(table::NATS_TIMEOUT)).await;
            anchors.push(Source::Stream(
                broker.map(|broker| Box::new(AnchorStream::new(broker))).map_err(|error| error_chain(&error)),
            ));
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
        Ok(Newest::anchored(&self.notes(false).await?.notes, pins).map_or(0, |newest| newest.size))
    }

    /// Returns all notes of the anchors, or only the last few of each. Fails if no anchor can be read.
    pub(crate) async fn notes(&self, all: bool) -> Result<AnchoredNotes, Failure> {
        let (mut notes, mut anchors) = (Vec::new(), Vec::new());
        for source in &self.0 {
            let (read, anchor) = source.read(all).await;
            notes.extend(read);
            anchors.push(anchor);
        }
        // Two anchors usually hold the same notes. The order is kept, so that a repeated run names the same places.
        let mut seen = HashSet::new();
        notes.retain(|note| seen.insert(Hash::of(note)));
        let read = AnchoredNotes { notes, anchors };
        if read.anchors.iter().all(|anchor| anchor.state != AnchorState::Read) {
            return Err(Failure::new(format!("no anchor can be read: {}", read.lacking().join("; "))));
        }
        Ok(read)
    }
}

impl AnchoredNotes {
    /// Returns the names of the anchors that were not read, each with the reason.
    pub(crate) fn lacking(&self) -> Vec<String> {
        let lacking = self.anchors.iter().filter(|anchor| anchor.state != AnchorState::Read);
        lacking.map(described).collect()
    }
}

/// Returns the line of the report about an anchor.
pub(crate) fn described(anchor: &AnchorRead) -> String {
    let AnchorRead { name, state, notes, detail } = anchor;
    match (state, detail) {
        (AnchorState::Read, _) => format!("{name}: {notes} notes"),
        (AnchorState::Missing, _) => format!("{name}: missing"),
        (AnchorState::Unreadable, detail) => format!("{name}: unreadable: {}", detail.as_deref().unwrap_or_default()),
    }
}

impl Source {
    /// Returns the notes, none if the anchor cannot be read, and how it was read.
    async fn read(&self, all: bool) -> (Vec<Vec<u8>>, AnchorRead) {
        let (name, read) = match self {
            Self::File(path) => {
                let file = AnchorFile::new(path);
                let name = file.name();
                // To a sealer, a file that does not exist is one that has no note yet. Here, its notes may have been deleted.
                let read = match path.try_exists() {
                    Ok(true) => file.notes(all).await.map_err(|error| error_chain(&error)),
                    Ok(false) => {
                        return (Vec::new(), AnchorRead { name, state: AnchorState::Missing, notes: 0, detail: None });
                    }
                    Err(error) => Err(error.to_string()),
                };
                (name, read)
            }
            Self::Stream(Ok(stream)) => (stream.name(), stream.notes(all).await.map_err(|error| error_chain(&error))),
            Self::Stream(Err(error)) => (AnchorStream::NAME.to_owned(), Err(error.clone())),
        };
        match read {
            Ok(read) => {
                let anchor = AnchorRead { name, state: AnchorState::Read, notes: read.len(), detail: None };
                (read, anchor)
            }
            Err(error) => {
                let anchor = AnchorRead { name, state: AnchorState::Unreadable, notes: 0, detail: Some(error) };
                (Vec::new(), anchor)
            }
        }
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
