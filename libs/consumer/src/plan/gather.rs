//! The step from arrived events to a batch: the events in order, with missing predecessors read from the ledger, up to
//! the first event that is not simply next.

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::Position;

use crate::assignment::Assignment;
use crate::metrics;
use crate::plan::order::{AfterBatch, Arriving, Cursor, Decision, MAX_GAP, decide};
use crate::plan::task::Arrival;
use crate::seals::Source;

/// The events to apply, and what the plan needs after them.
pub(crate) struct Gathered {
    pub records: Vec<Arc<Record>>,
    pub then: AfterBatch,
}

/// Consecutive events of a plan as read from the ledger. Their seals and links have been checked.
pub(crate) struct LedgerEvents {
    pub records: Vec<Arc<Record>>,
    /// What ended them early, if anything did.
    pub fault: Option<AfterBatch>,
}

/// Decides about arrived events, in order of seq, from a position that was read.
pub(crate) async fn gather(
    assignment: &Assignment,
    position: &Position,
    arrivals: &[Arrival],
    over_limit: bool,
) -> Result<Gathered, LedgerError> {
    let metrics = &assignment.context.metrics;
    let mut cursor = Cursor::from(position);
    let mut records: Vec<Arc<Record>> = Vec::new();
    let applied_before = applied_before(assignment, position, arrivals).await?;
    let mut sorted: Vec<&Arrival> = arrivals.iter().collect();
    sorted.sort_by_key(|arrival| arrival.record.header.seq);
    for arrival in sorted {
        let header = &arrival.record.header;
        let arriving = Arriving {
            seq: header.seq,
            event_hash: arrival.record.event_hash,
            prev: header.prev,
            suspect: arrival.suspect,
            over_limit,
        };
        loop {
            let applied = match header.seq.checked_sub(position.next_seq) {
                None => applied_before.get(&header.seq).copied(),
                Some(index) => {
                    let record = usize::try_from(index).ok().and_then(|index| records.get(index));
                    record.map(|record| record.event_hash)
                }
            };
            let then = match decide(&cursor, &arriving, applied) {
                Decision::Next => {
                    cursor.advance(&arrival.record);
                    records.push(arrival.record.clone());
                    break;
                }
                Decision::Duplicate => {
                    metrics.duplicates.inc();
                    break;
                }
                Decision::Gap { from, to } => {
                    let read = events_from_ledger(assignment, position.plan_no, &cursor, to).await?;
                    metrics::add(&metrics.gaps_filled, read.records.len());
                    for record in read.records {
                        cursor.advance(&record);
                        records.push(record);
                    }
                    match read.fault {
                        Some(fault) => fault,
                        None if cursor.next_seq > to => continue,
                        None => AfterBatch::ParkMissing(format!(
                            "the ledger lacks event {}, one of {from} to {to} that precede an event that arrived",
                            cursor.next_seq
                        )),
                    }
                }
                Decision::Compare => AfterBatch::StopAtFork(format!(
                    "event {} was applied and is missing in the ledger, so no event can be compared with it; arrived: {}",
                    header.seq,
                    arrival.record.to_json()
                )),
                Decision::Fork => AfterBatch::StopAtFork(describe_fork(&cursor, &arrival.record, applied)),
                Decision::Suspect => AfterBatch::ParkSuspect { event_type: header.event_type.clone() },
                Decision::Defer => AfterBatch::Defer,
                Decision::NotLive => AfterBatch::MarkSeen,
            };
            return Ok(Gathered { records, then });
        }
    }
    Ok(Gathered { records, then: AfterBatch::Nothing })
}

/// Returns the hashes that were applied at the seqs of events that arrived again.
///
/// The position holds the last one. Older ones are read from the ledger's chain, which the position agrees with.
async fn applied_before(
    assignment: &Assignment,
    position: &Position,
    arrivals: &[Arrival],
) -> Result<HashMap<u64, Hash>, LedgerError> {
    let seqs = arrivals.iter().map(|arrival| arrival.record.header.seq).filter(|seq| *seq < position.next_seq);
    let (last, older): (Vec<u64>, Vec<u64>) = seqs.partition(|seq| seq + 1 == position.next_seq);
    let mut applied = HashMap::new();
    if !older.is_empty() {
        applied = assignment.context.ledger().history().event_hashes(position.plan_no, &older).await?;
    }
    applied.extend(last.into_iter().map(|seq| (seq, position.last_hash)));
    Ok(applied)
}

/// Reads up to [`MAX_GAP`] events of a plan from the ledger, from the cursor on and up to seq `to`. Each must link to
/// its predecessor and pass the check of its seal.
pub(crate) async fn events_from_ledger(
    assignment: &Assignment,
    plan_no: i64,
    cursor: &Cursor,
    to: u64,
) -> Result<LedgerEvents, LedgerError> {
    let context = &assignment.context;
    let ledger = context.ledger();
    let mut fault = None;
    let read = match ledger.history().range(plan_no, cursor.next_seq, to, MAX_GAP).await {
        Err(LedgerError::Unreadable { tenant, plan, seq, detail }) => {
            context.metrics.refused.inc();
            let reason = format!("event {tenant}/{plan}/{seq} of the ledger cannot be read: {detail}");
            fault = Some(AfterBatch::ParkMissing(reason));
            let last = u64::try_from(seq).ok().and_then(|seq| seq.checked_sub(1));
            match last.filter(|last| *last >= cursor.next_seq) {
                Some(last) => ledger.history().range(plan_no, cursor.next_seq, last, MAX_GAP).await?,
                None => Vec::new(),
            }
        }
        read => read?,
    };
    let (mut cursor, mut records) = (*cursor, Vec::with_capacity(read.len()));
    for record in read {
        let seq = record.header.seq;
        if seq != cursor.next_seq {
            fault = Some(AfterBatch::ParkMissing(format!("the ledger lacks event {}", cursor.next_seq)));
            break;
        }
        if let Err(verdict) = context.process.seals.check(&record, Source::Ledger) {
            context.metrics.refused.inc();
            let reason = format!("the seal of event {seq} of the ledger does not hold: {}", verdict.as_str());
            fault = Some(AfterBatch::ParkMissing(reason));
            break;
        }
        if record.header.prev != cursor.last_hash {
            fault = Some(AfterBatch::StopAtFork(describe_fork(&cursor, &record, None)));
            break;
        }
        cursor.advance(&record);
        records.push(Arc::new(record));
    }
    Ok(LedgerEvents { records, fault })
}

/// Describes a fork for an operator: both claims, and the whole of the event that was not applied.
fn describe_fork(cursor: &Cursor, record: &Record, applied: Option<Hash>) -> String {
    let seq = record.header.seq;
    let claims = match applied {
        Some(applied) => format!("event {seq} was applied as {applied}, and arrived as {}", record.event_hash),
        None => format!("event {seq} links to {}, but {} was applied before it", record.header.prev, cursor.last_hash),
    };
    format!("{claims}; arrived: {}", record.to_json())
}
