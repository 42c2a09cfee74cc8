//! Writing a ledger's evidence as a bundle, which can be verified without server and database.

use std::io::{BufWriter, Write};
use std::pin::pin;

use futures::TryStreamExt;
use sealbus_core::verify::bundle::{BundlePath, write_record};
use sealbus_ledger::verification::Scope;

use super::Target;
use crate::evidence::LedgerEvidence;
use crate::evidence::anchors::Newest;
use crate::failure::Failure;
use crate::output::progress;

/// Number of proofs that are read from the ledger in parallel.
const PARALLEL_PROOFS: usize = 16;

/// The content of an exported bundle.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    pub events: u64,
    /// Number of those records that the checkpoint covers.
    pub covered: u64,
    /// Number of leaves of the checkpoint's tree.
    pub size: u64,
    pub anchors: usize,
}

/// Writes the evidence for a scope. For all plans, that is the whole log with its tiles. For some plans, it is these plans and
/// the plan of keys, each sealed record with its proof against the newest anchored checkpoint.
///
/// The evidence is not checked: the verifier of the bundle decides what it proves.
///
/// # Errors
/// Something cannot be read or written; or, for some plans, nothing is anchored yet.
pub(crate) async fn export(evidence: &LedgerEvidence, scope: &Scope, target: &mut Target) -> Result<Exported, Failure> {
    let LedgerEvidence { ledger, pins, anchors } = evidence;
    let notes = anchors.notes(true).await?;
    let whole = *scope == Scope::Everything;
    let checkpoint = if whole { Newest::stored(ledger).await? } else { Newest::anchored(&notes, pins)? };
    target.put(&BundlePath::Checkpoint, checkpoint.note.as_bytes())?;
    for (number, note) in notes.iter().enumerate() {
        target.put(&BundlePath::Anchor(number.to_string()), note)?;
    }
    let mut exported = Exported { size: checkpoint.size, anchors: notes.len(), ..Exported::default() };
    if whole {
        let mut tiles = pin!(ledger.log().tiles(checkpoint.size));
        while let Some((id, hashes)) = tiles.try_next().await? {
            target.put(&BundlePath::Tile(id), &hashes)?;
        }
    }
    let events = target.events()?;
    let bar = progress(ledger.verification().events_in(scope).await?, "exporting");
    let mut writer = BufWriter::with_capacity(1 << 20, events.as_file());
    let lines = ledger.history().records(scope).map_err(Failure::from).map_ok(|mut record| {
        // Sealing continues during the export. The log index of a leaf after the checkpoint is left out.
        record.log_index = record.log_index.filter(|index| *index < checkpoint.size);
        let checkpoint = &checkpoint;
        async move {
            let proof = if whole { None } else { checkpoint.prove(ledger, &record).await? };
            Ok((record.log_index.is_some(), write_record(&record, proof.as_deref())))
        }
    });
    let mut lines = pin!(lines.try_buffered(PARALLEL_PROOFS));
    while let Some((covered, line)) = lines.try_next().await? {
        writeln!(writer, "{line}")?;
        exported.events += 1;
        exported.covered += u64::from(covered);
        bar.inc(1);
    }
    writer.flush()?;
    drop(writer);
    bar.finish_and_clear();
    target.put_events(events)?;
    Ok(exported)
}
