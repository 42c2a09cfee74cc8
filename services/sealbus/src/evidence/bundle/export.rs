//! Writing a ledger's evidence as a bundle, which can be verified without server and database.

use std::io::{BufWriter, Write};
use std::pin::pin;

use futures::TryStreamExt;
use sealbus_core::event::Record;
use sealbus_core::verify::bundle::{BundlePath, MAX_LINE_BYTES, write_malformed, write_record};
use sealbus_ledger::Ledger;
use sealbus_ledger::history::ExportedEvent;
use sealbus_ledger::verification::Scope;

use super::Target;
use crate::evidence::LedgerEvidence;
use crate::evidence::anchors::Newest;
use crate::evidence::ledger::ensure_events;
use crate::failure::Failure;
use crate::output::{notice, progress};

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
/// Something cannot be read or written, an anchor included unless `allow_missing_anchors` is set; the ledger has no event in scope; or, for some plans, nothing is anchored yet.
pub(crate) async fn export(
    evidence: &LedgerEvidence,
    scope: &Scope,
    allow_missing_anchors: bool,
    target: &mut Target,
) -> Result<Exported, Failure> {
    let LedgerEvidence { ledger, pins, anchors } = evidence;
    ensure_events(ledger, scope).await?;
    let anchored = anchors.notes(true).await?;
    match anchored.lacking().join("; ") {
        lacking if lacking.is_empty() => {}
        lacking if allow_missing_anchors => notice(format_args!("the bundle lacks the notes of an anchor: {lacking}")),
        lacking => {
            return Err(Failure::new(format!(
                "the bundle would lack the notes of an anchor: {lacking} (--allow-missing-anchors exports it nevertheless)"
            )));
        }
    }
    let notes = anchored.notes;
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
    // A record of a bundle of plans is proven against the checkpoint.
    let proves = Some(&checkpoint).filter(|_| !whole);
    let lines = ledger.history().exported(scope).map_err(Failure::from).map_ok(|event| {
        // Sealing continues during the export. The log index of a leaf after the checkpoint is left out.
        let log_index = event.log_index.filter(|index| *index < checkpoint.size);
        async move { Ok((log_index.is_some(), line(ledger, ExportedEvent { log_index, ..event }, proves).await?)) }
    });
    let mut lines = pin!(lines.try_buffered(PARALLEL_PROOFS));
    while let Some((is_covered, line)) = lines.try_next().await? {
        let Some(line) = line else { continue };
        writeln!(writer, "{line}")?;
        exported.events += 1;
        exported.covered += u64::from(is_covered);
        bar.inc(1);
    }
    writer.flush()?;
    drop(writer);
    bar.finish_and_clear();
    target.put_events(events)?;
    Ok(exported)
}

/// Returns the line of an event, with its proof against `checkpoint` if there is one. Returns `None`, and says so on stderr, if
/// the event has no seq and therefore no place in a bundle.
async fn line(ledger: &Ledger, event: ExportedEvent, checkpoint: Option<&Newest>) -> Result<Option<String>, Failure> {
    let ExportedEvent { tenant, plan, seq, event_hash, log_index, record } = event;
    let fault = match record {
        Ok(record) => {
            let record = Record { log_index, ..*record };
            let proof = match checkpoint {
                Some(checkpoint) => checkpoint.prove(ledger, &record).await?,
                None => None,
            };
            let line = write_record(&record, proof.as_deref());
            if line.len() <= MAX_LINE_BYTES {
                return Ok(Some(line));
            }
            "the record is too long".to_owned()
        }
        Err(fault) => fault,
    };
    if seq.is_none() {
        notice(format_args!("an event of {tenant}/{plan} has no place in a bundle and is left out: {fault}"));
    }
    Ok(seq.map(|seq| write_malformed(&tenant, &plan, seq, event_hash, log_index)))
}
