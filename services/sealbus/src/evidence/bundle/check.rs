//! Verifying a bundle with nothing but what is pinned: no server, no database, no secret.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Take};
use std::path::PathBuf;

use sealbus_core::event::Record;
use sealbus_core::verify::bundle::{BundlePath, BundledRecord, Content, EventLines, MAX_LINE_BYTES, find_tile};
use sealbus_core::verify::{ChainCheck, CheckedLog, LeafEvidence, Notes, Report, Trust, UnansweredReceipts};

use super::Source;
use crate::evidence::pins::Pins;
use crate::evidence::read_receipts;
use crate::failure::Failure;

/// Verifies a bundle. `now` is in seconds since 1970. `max_age` is the maximum age of the newest trusted time in seconds, if
/// there is a limit. `on_read` is called with the number of bytes after each record.
///
/// The records are read twice: first for what has to be known about all plans, then to be checked. So one record is in memory
/// at a time, in addition to what `sealbus_core::verify` keeps. It fails only if the bundle cannot be read, or has no event and
/// nothing shows that one is missing: what is wrong with it is a finding of the report.
pub(crate) fn verify(
    bundle: &Source,
    pins: &Pins,
    receipts: &[PathBuf],
    now: u64,
    max_age: Option<u64>,
    mut on_read: impl FnMut(u64),
) -> Result<Report, Failure> {
    let log = check_log(bundle, pins, now, max_age)?;
    let mut trust = Trust::new(&pins.origin, pins.keyring.clone(), [], log.size());
    let mut records = Records::open(bundle, &pins.origin)?;
    while let Some(BundledRecord { content, .. }) = records.next()? {
        on_read(records.line.len() as u64);
        if let Content::Record(record, _) = content {
            trust.survey(&record);
        }
    }
    let mut unanswered = UnansweredReceipts::default();
    for Record { header, event_hash, .. } in read_receipts(receipts, &trust)? {
        unanswered.add(&header.tenant, &header.plan, header.seq, event_hash);
    }

    let mut report = Report::new(&log);
    let mut current: Option<((String, String), ChainCheck<'_>)> = None;
    let mut records = Records::open(bundle, &pins.origin)?;
    while let Some(BundledRecord { tenant, plan, seq, content }) = records.next()? {
        let is_current = |((a, b), _): &((String, String), _)| *a == tenant && *b == plan;
        if !current.as_ref().is_some_and(is_current) {
            let check = ChainCheck::new(&trust, Some(&log), Some(&unanswered), &tenant, &plan);
            if let Some((_, previous)) = current.replace(((tenant, plan), check)) {
                report.add_plan(previous.finish());
            }
        }
        let Some((_, check)) = &mut current else { continue };
        report.add(match content {
            Content::Record(record, proof) => {
                let leaf = proof.as_deref().map_or(LeafEvidence::None, LeafEvidence::Proof);
                check.next(&record, leaf, None)
            }
            Content::Malformed { event_hash, log_index, fault } => {
                check.next_malformed(seq, event_hash, log_index, &fault)
            }
        });
        on_read(records.line.len() as u64);
    }
    if let Some((_, last)) = current {
        report.add_plan(last.finish());
    }
    log.unclaimed().for_each(|index| report.add_unclaimed(index, None));
    report.add(unanswered.missing());
    if report.events == 0 && !report.has_missing_event() {
        return Err(Failure::new("the bundle has no event: there is nothing to verify"));
    }
    Ok(report)
}

/// Checks the notes and tiles. A bundle with tiles holds a whole log. One without holds plans, and its checkpoint is an anchored
/// one.
fn check_log(bundle: &Source, pins: &Pins, now: u64, max_age: Option<u64>) -> Result<CheckedLog, Failure> {
    let read = |file: &BundlePath| bundle.read(file).map(Option::unwrap_or_default);
    let mut notes = Notes::new(&pins.policy, &pins.origin, now, max_age);
    let checkpoint = read(&BundlePath::Checkpoint)?;
    if bundle.is_whole() {
        notes.checkpoint(&checkpoint);
    } else {
        notes.anchored_checkpoint(&checkpoint);
    }
    for file in bundle.paths().filter(|file| matches!(file, BundlePath::Anchor(_))) {
        notes.anchor(&file.to_string(), &read(file)?);
    }
    if !bundle.is_whole() {
        return Ok(notes.with_proofs());
    }
    let (mut tree, mut unreadable) = (notes.tree(), None);
    while let Some(id) = tree.wanted() {
        let tile = find_tile(id, |path| {
            bundle.read(&BundlePath::parse(path)?).unwrap_or_else(|failure| {
                unreadable = Some(failure);
                None
            })
        });
        if let Some(failure) = unreadable {
            return Err(failure);
        }
        tree.take(tile.as_deref());
    }
    Ok(notes.with_tree(tree))
}

/// Reads the records of a bundle one by one.
struct Records {
    reader: BufReader<Take<File>>,
    lines: EventLines,
    line: Vec<u8>,
}

impl Records {
    fn open(bundle: &Source, origin: &str) -> Result<Self, Failure> {
        Ok(Self { reader: bundle.events()?, lines: EventLines::new(origin), line: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<BundledRecord>, Failure> {
        self.line.clear();
        // A line that is longer than the longest valid record is cut off, and refused because of its length.
        if self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 2).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        Ok(Some(self.lines.read(&self.line)?))
    }
}
