//! Looks into the outbox: what a worker asks of the ledger, run beside the worker's loop and one at a time.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sealbus_core::event::Record;
use sealbus_ledger::outbox::{Acknowledged, OutboxRow, Unsendable};
use sealbus_ledger::{Ledger, LedgerError};

use crate::window::PlanId;

/// Rows of one plan that a question about its elders brings at most.
const ELDERS: u32 = 64;

/// Events as the ledger gave them, beside their rows.
pub(crate) type Events = Vec<(OutboxRow, Result<Record, Unsendable>)>;

/// A plan whose lowest waiting event may have elders that nobody here knows of.
#[derive(Debug)]
pub(crate) struct Undecided {
    /// The plan.
    pub plan: PlanId,
    /// Its lowest waiting event.
    pub lowest: u64,
    /// Its highest.
    pub highest: u64,
}

/// What a look brought.
pub(crate) enum Look {
    /// Rows of the partition.
    Page {
        /// The highest id that had been seen before the writers were asked for.
        seen: i64,
        /// Who was writing before the page was read, where that was asked.
        writers: Option<Vec<String>>,
        /// The rows, by id.
        rows: Vec<OutboxRow>,
    },
    /// The events of rows.
    Events {
        /// As many as fit.
        events: Events,
        /// The first row that did not.
        cut: Option<i64>,
    },
    /// What the outbox says of some plans, each by its place in `asked`, and the events that come before their lowest
    /// waiting ones.
    Plans {
        /// The plans.
        asked: Vec<Undecided>,
        /// The lowest row of each that has any.
        lowest: Vec<(usize, OutboxRow)>,
        /// The elders.
        events: Events,
    },
}

/// A look under way.
pub(crate) type Looking = BoxFuture<'static, Result<Look, LedgerError>>;

/// Reads a page from an id on; `writers` says whether to ask first who is writing, and what had been seen by then.
pub(crate) fn page(ledger: Ledger, partition: u32, from: i64, limit: u32, seen: i64, ask_writers: bool) -> Looking {
    async move {
        let writers = if ask_writers { Some(ledger.outbox().writers().await?) } else { None };
        let rows = ledger.outbox().page(partition, from, limit).await?;
        Ok(Look::Page { seen, writers, rows })
    }
    .boxed()
}

/// Reads the events of rows, up to so many bytes.
pub(crate) fn events(ledger: Ledger, rows: Vec<OutboxRow>, bytes: u64) -> Looking {
    async move {
        let events = ledger.outbox().events(&rows, bytes).await?;
        let cut = rows.get(events.len()).map(|row| row.id);
        Ok(Look::Events { events, cut })
    }
    .boxed()
}

/// Asks about plans.
pub(crate) fn plans(ledger: Ledger, asked: Vec<Undecided>, bytes: u64) -> Looking {
    async move {
        let names: Vec<(&str, &str)> =
            asked.iter().map(|ask| (ask.plan.tenant.as_str(), ask.plan.plan.as_str())).collect();
        let rows = ledger.outbox().of_plans(&names, ELDERS).await?;
        let mut lowest = rows.clone();
        lowest.dedup_by_key(|(at, _)| *at);
        let elders: Vec<OutboxRow> = rows
            .into_iter()
            .filter(|(at, row)| asked.get(*at).is_some_and(|ask| row.seq < ask.lowest))
            .map(|(_, row)| row)
            .collect();
        let events = if elders.is_empty() { Vec::new() } else { ledger.outbox().events(&elders, bytes).await? };
        Ok(Look::Plans { asked, lowest, events })
    }
    .boxed()
}

/// An acknowledged event whose row is to go.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// The row.
    pub id: i64,
    /// The event.
    pub record: Arc<Record>,
}

/// What became of a deletion.
pub(crate) struct Deletion {
    /// What it was of.
    pub done: Vec<Done>,
    /// Rows that it took out, and events among `done`, by their places, that the ledger does not hold.
    pub result: Result<(usize, Vec<usize>), LedgerError>,
}

/// A deletion under way.
pub(crate) type Deleting = BoxFuture<'static, Deletion>;

/// Takes acknowledged rows out; where some were gone already, finds out whether their events ever were.
pub(crate) fn delete(ledger: Ledger, done: Vec<Done>) -> Deleting {
    async move {
        let result = delete_and_look(&ledger, &done).await;
        Deletion { done, result }
    }
    .boxed()
}

async fn delete_and_look(ledger: &Ledger, done: &[Done]) -> Result<(usize, Vec<usize>), LedgerError> {
    let acknowledged: Vec<Acknowledged<'_>> =
        done.iter().map(|done| Acknowledged { id: done.id, record: &done.record }).collect();
    let deleted = ledger.outbox().delete_acknowledged(&acknowledged).await?;
    if deleted.len() == done.len() {
        return Ok((deleted.len(), Vec::new()));
    }
    let places: Vec<usize> = (0..done.len()).filter(|at| !deleted.contains(&done[*at].id)).collect();
    let missing: Vec<Acknowledged<'_>> = places.iter().map(|at| acknowledged[*at]).collect();
    let phantoms = ledger.outbox().phantoms(&missing).await?;
    Ok((deleted.len(), phantoms.into_iter().map(|at| places[at]).collect()))
}
