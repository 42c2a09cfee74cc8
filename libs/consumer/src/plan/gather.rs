//! From what arrived to what is to be run: arriving events in order, with their missing elders from the ledger, up to the
//! first that is not simply next.

use std::collections::HashMap;
use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_core::hash::Hash;
use sealbus_ledger::LedgerError;
use sealbus_ledger::delivery::positions::Standing;

use crate::assignment::Share;
use crate::intake::seals::Source;
use crate::plan::order::{Arriving, Decision, FILL, Place, decide};

/// An event that arrived for a plan, its seal checked.
#[derive(Clone)]
pub(crate) struct Arrived {
    pub record: Arc<Record>,
    /// Delivered so often that it may have killed its handler.
    pub worn: bool,
}

/// Events to run, and what is to be done after them.
pub(crate) struct Gathered {
    pub run: Vec<Arc<Record>>,
    pub then: Then,
}

/// What follows a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: the plan stays live.
    Nothing,
    /// The position is not live: note what was seen.
    Owed,
    /// Leave the plan behind.
    Behind,
    /// Park it, counting an attempt for an event of this type that may have killed its handler.
    Worn {
        /// Type of the event.
        event_type: String,
    },
    /// Park it: the ledger lacks an event, or holds one whose seal fails.
    Missing(String),
    /// Stop it at a fork.
    Fork(String),
}

/// Events of a plan as the ledger has them, next to one another and checked.
pub(crate) struct Chained {
    pub records: Vec<Arc<Record>>,
    /// Why it ends early.
    pub fault: Option<Then>,
}

impl Share {
    /// Decides about arrived events, in order of seq, from a standing that was read.
    pub(crate) async fn gather(
        &self,
        standing: &Standing,
        arrived: &[Arrived],
        crowded: bool,
    ) -> Result<Gathered, LedgerError> {
        let mut place = Place::from(standing);
        let mut run: Vec<Arc<Record>> = Vec::new();
        let applied = self.applied_before(standing, arrived).await?;
        let mut sorted: Vec<&Arrived> = arrived.iter().collect();
        sorted.sort_by_key(|arrived| arrived.record.header.seq);
        for arrived in sorted {
            let header = &arrived.record.header;
            let arriving = Arriving {
                seq: header.seq,
                event_hash: arrived.record.event_hash,
                prev: header.prev,
                worn: arrived.worn,
                crowded,
            };
            loop {
                let known = if header.seq < standing.next_seq {
                    applied.get(&header.seq).copied()
                } else {
                    run.get(index(header.seq - standing.next_seq)).map(|record| record.event_hash)
                };
                let then = match decide(&place, &arriving, known) {
                    Decision::Run => {
                        step(&mut place, &mut run, arrived.record.clone());
                        break;
                    }
                    Decision::Duplicate => {
                        self.worked.metrics.duplicates.inc();
                        break;
                    }
                    Decision::Fill { from, to } => {
                        let chained = self.chained(standing.plan_no, &place, to).await?;
                        self.worked.metrics.filled.inc_by(chained.records.len() as u64);
                        chained.records.into_iter().for_each(|record| step(&mut place, &mut run, record));
                        match chained.fault {
                            Some(fault) => fault,
                            None if place.next_seq > to => continue,
                            None => Then::Missing(format!(
                                "the ledger lacks event {}, of {from} to {to} that precede one that came",
                                place.next_seq
                            )),
                        }
                    }
                    Decision::Compare => Then::Fork(format!(
                        "event {} was applied and the ledger no longer holds it, so that the one that arrived cannot be compared: {}",
                        header.seq,
                        arrived.record.to_json()
                    )),
                    Decision::Fork => Then::Fork(fork(&place, &arrived.record, known)),
                    Decision::Park => Then::Worn { event_type: header.event_type.clone() },
                    Decision::Behind => Then::Behind,
                    Decision::Owed => Then::Owed,
                };
                return Ok(Gathered { run, then });
            }
        }
        Ok(Gathered { run, then: Then::Nothing })
    }

    /// What was applied at the seqs of events that arrive again, by the ledger's chain, which the position agrees with.
    async fn applied_before(
        &self,
        standing: &Standing,
        arrived: &[Arrived],
    ) -> Result<HashMap<u64, Hash>, LedgerError> {
        let seqs = arrived.iter().map(|arrived| arrived.record.header.seq).filter(|seq| *seq < standing.next_seq);
        let (last, older): (Vec<u64>, Vec<u64>) = seqs.partition(|seq| seq + 1 == standing.next_seq);
        let mut applied = HashMap::new();
        if !older.is_empty() {
            applied = self.worked.ledger().history().event_hashes(standing.plan_no, &older).await?;
        }
        applied.extend(last.into_iter().map(|seq| (seq, standing.last_hash)));
        Ok(applied)
    }

    /// Reads up to a hundred events of a plan from the ledger, from `place` on and not beyond `to`; each must link to the one
    /// before it and pass its seal.
    pub(crate) async fn chained(&self, plan_no: i64, place: &Place, to: u64) -> Result<Chained, LedgerError> {
        let ledger = self.worked.ledger();
        let limit = u32::try_from(FILL).unwrap_or(u32::MAX);
        let mut fault = None;
        let read = match ledger.history().range(plan_no, place.next_seq, to, limit).await {
            Err(LedgerError::Unreadable { tenant, plan, seq, detail }) => {
                self.worked.metrics.refused.inc();
                fault =
                    Some(Then::Missing(format!("event {tenant}/{plan}/{seq} of the ledger cannot be read: {detail}")));
                let before = seq.unsigned_abs().saturating_sub(1);
                if before < place.next_seq {
                    Vec::new()
                } else {
                    ledger.history().range(plan_no, place.next_seq, before, limit).await?
                }
            }
            read => read?,
        };
        let (mut place, mut records) = (*place, Vec::with_capacity(read.len()));
        for record in read {
            let seq = record.header.seq;
            if seq != place.next_seq {
                fault = Some(Then::Missing(format!("the ledger lacks event {}", place.next_seq)));
                break;
            }
            if let Err(verdict) = self.worked.process.intake.check(&record, Source::Ledger) {
                self.worked.metrics.refused.inc();
                fault = Some(Then::Missing(format!("event {seq} of the ledger fails its seal: {}", verdict.as_str())));
                break;
            }
            if record.header.prev != place.last_hash {
                fault = Some(Then::Fork(fork(&place, &record, None)));
                break;
            }
            step(&mut place, &mut records, Arc::new(record));
        }
        Ok(Chained { records, fault })
    }
}

/// Adds the plan's next event to a run.
fn step(place: &mut Place, run: &mut Vec<Arc<Record>>, record: Arc<Record>) {
    place.next_seq = record.header.seq + 1;
    place.last_hash = record.event_hash;
    run.push(record);
}

fn index(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

/// What an operator reads of a fork: both claims, and the whole of the event that was not applied.
fn fork(place: &Place, record: &Record, applied: Option<Hash>) -> String {
    let seq = record.header.seq;
    let claim = match applied {
        Some(applied) => format!("event {seq} was applied as {applied}, and came as {}", record.event_hash),
        None => format!("event {seq} links to {}, and {} was applied before it", record.header.prev, place.last_hash),
    };
    format!("{claim}; what came: {}", record.to_json())
}
