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
use crate::plan::order::{AfterBatch, Arriving, Batch, Decision, MAX_GAP, advance, decide};
use crate::plan::task::Arrival;
use crate::seals::Source;

/// Consecutive events of a plan, and what the plan needs after them.
pub(crate) struct Gathered {
    pub records: Vec<Arc<Record>>,
    pub then: AfterBatch,
}

/// Decides about arrived events, in order of seq, from a position that was read.
pub(crate) async fn gather(
    assignment: &Assignment,
    position: &Position,
    arrivals: &[Arrival],
    over_limit: bool,
) -> Result<Gathered, LedgerError> {
    let metrics = &assignment.context.metrics;
    let mut end = position.clone();
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
            let then = match decide(&end, &arriving, applied) {
                Decision::Next => {
                    advance(&mut end, &arrival.record);
                    records.push(arrival.record.clone());
                    break;
                }
                Decision::Duplicate => {
                    metrics.duplicates.inc();
                    break;
                }
                Decision::Gap { from, to } => {
                    let read = events_from_ledger(assignment, &end, to).await?;
                    metrics::add(&metrics.gaps_filled, read.records.len());
                    end = Batch { from: &end, records: &read.records }.end();
                    records.extend(read.records);
                    match read.then {
                        AfterBatch::Nothing if end.next_seq > to => continue,
                        // The events of the gap do not fit into memory together.
                        AfterBatch::Nothing if end.next_seq > from => AfterBatch::Defer,
                        AfterBatch::Nothing => AfterBatch::ParkMissing(format!(
                            "the ledger lacks event {}, one of {from} to {to} that precede an event that arrived",
                            end.next_seq
                        )),
                        fault => fault,
                    }
                }
                Decision::Compare => AfterBatch::StopAtFork(format!(
                    "event {} cannot be compared with the one that was applied: the ledger lacks it, or its event {} is not {}, \
                     which was applied; arrived: {}",
                    header.seq,
                    position.next_seq - 1,
                    position.last_hash,
                    arrival.record.to_json()
                )),
                Decision::Fork => AfterBatch::StopAtFork(describe_fork(&end, &arrival.record, applied)),
                Decision::Suspect => AfterBatch::ParkSuspect(header.event_type.clone()),
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
/// The position holds the last one. Since each event contains the hash of its predecessor, the older ones are those of the
/// ledger's chain if the ledger has the same last one. Otherwise the ledger's chain is another one, and they are unknown.
async fn applied_before(
    assignment: &Assignment,
    position: &Position,
    arrivals: &[Arrival],
) -> Result<HashMap<u64, Hash>, LedgerError> {
    let seqs = arrivals.iter().map(|arrival| arrival.record.header.seq).filter(|seq| *seq < position.next_seq);
    let (last, older): (Vec<u64>, Vec<u64>) = seqs.partition(|seq| seq + 1 == position.next_seq);
    let mut applied = HashMap::new();
    if !older.is_empty() {
        let last = position.next_seq - 1;
        let seqs = [older, vec![last]].concat();
        applied = assignment.context.ledger().history().event_hashes(position.plan_no, &seqs).await?;
        if applied.get(&last) != Some(&position.last_hash) {
            applied.clear();
        }
    }
    applied.extend(last.into_iter().map(|seq| (seq, position.last_hash)));
    Ok(applied)
}

/// Reads up to [`MAX_GAP`] events of a plan from the ledger, or fewer large ones, from a position on and up to seq `to`. Each must
/// link to its predecessor and pass the check of its seal; the first fault ends them.
pub(crate) async fn events_from_ledger(
    assignment: &Assignment,
    position: &Position,
    to: u64,
) -> Result<Gathered, LedgerError> {
    let context = &assignment.context;
    let history = context.ledger().history();
    let (plan_no, first) = (position.plan_no, position.next_seq);
    let mut then = AfterBatch::Nothing;
    let read = match history.range(plan_no, first, to, MAX_GAP).await {
        Err(LedgerError::Unreadable { tenant, plan, seq, detail }) => {
            context.metrics.refused.inc();
            let reason = format!("event {tenant}/{plan}/{seq} of the ledger cannot be read: {detail}");
            then = AfterBatch::ParkMissing(reason);
            Vec::new()
        }
        read => read?,
    };
    let (mut end, mut records) = (position.clone(), Vec::with_capacity(read.len()));
    for record in read {
        let seq = record.header.seq;
        if seq != end.next_seq {
            then = AfterBatch::ParkMissing(format!("the ledger lacks event {}", end.next_seq));
            break;
        }
        if let Err(verdict) = context.process.check_seal(&record, Source::Ledger) {
            context.metrics.refused.inc();
            let reason = format!("the seal of event {seq} of the ledger does not hold: {}", verdict.as_str());
            then = AfterBatch::ParkMissing(reason);
            break;
        }
        if record.header.prev != end.last_hash {
            then = AfterBatch::StopAtFork(describe_fork(&end, &record, None));
            break;
        }
        advance(&mut end, &record);
        records.push(Arc::new(record));
    }
    Ok(Gathered { records, then })
}

/// Describes a fork for an operator: both claims, and the whole of the event that was not applied.
fn describe_fork(position: &Position, record: &Record, applied: Option<Hash>) -> String {
    let seq = record.header.seq;
    let claims = match applied {
        Some(applied) => format!("event {seq} was applied as {applied}, and arrived as {}", record.event_hash),
        None => {
            format!("event {seq} links to {}, but {} was applied before it", record.header.prev, position.last_hash)
        }
    };
    format!("{claims}; arrived: {}", record.to_json())
}
