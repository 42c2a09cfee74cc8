//! Scans of the outbox. Each is a future that the worker runs next to its loop, one at a time.

use futures::FutureExt;
use futures::future::BoxFuture;
use sealbus_core::event::Record;
use sealbus_ledger::outbox::{KnownPlan, OutboxRow, Unsendable};
use sealbus_ledger::{Ledger, LedgerError};

use crate::window::UndecidedPlan;

/// The maximum number of rows per plan that a scan for predecessors reads.
const PREDECESSORS_PER_PLAN: u32 = 64;

/// Outbox rows with their events, as the ledger returned them.
pub(crate) type RowEvents = Vec<(OutboxRow, Result<Record, Unsendable>)>;

/// The result of a scan.
pub(crate) enum ScanResult {
    /// Rows of the partition, in the order of their ids.
    Page {
        /// The writers of the outbox before the page was read, with the highest id that had been seen before that reading.
        writers: Option<(i64, Vec<String>)>,
        rows: Vec<OutboxRow>,
    },
    /// Events of rows, as many as fit into the given bytes.
    Events {
        events: RowEvents,
        /// The id of the first row whose event did not fit.
        cut: Option<i64>,
    },
    /// The rows of undecided plans.
    Predecessors {
        /// The plans, each with its lowest row if it has any.
        plans: Vec<(UndecidedPlan, Option<OutboxRow>)>,
        /// The events below the lowest waiting event of each plan.
        events: RowEvents,
    },
}

/// A running scan.
pub(crate) type Scan = BoxFuture<'static, Result<ScanResult, LedgerError>>;

/// Reads up to `limit` rows of a partition from id `from` on. `known` are plans that may be among them. If `highest_seen` is given, the scan first reads the writers of
/// the outbox, for the low-water bound.
pub(crate) fn page(
    ledger: Ledger,
    partition: u32,
    from: i64,
    limit: u32,
    known: Vec<KnownPlan>,
    highest_seen: Option<i64>,
) -> Scan {
    async move {
        let writers = match highest_seen {
            Some(highest_seen) => Some((highest_seen, ledger.outbox().writers().await?)),
            None => None,
        };
        let rows = ledger.outbox().page(partition, from, limit, &known).await?;
        Ok(ScanResult::Page { writers, rows })
    }
    .boxed()
}

/// Reads the events of rows, up to `max_bytes`.
pub(crate) fn events(ledger: Ledger, rows: Vec<OutboxRow>, max_bytes: u64) -> Scan {
    async move {
        let events = ledger.outbox().events(&rows, max_bytes).await?;
        let cut = rows.get(events.len()).map(|row| row.id);
        Ok(ScanResult::Events { events, cut })
    }
    .boxed()
}

/// Reads the lowest row of each undecided plan, and the events below its lowest waiting one, up to `max_bytes`.
pub(crate) fn predecessors(ledger: Ledger, plans: Vec<UndecidedPlan>, max_bytes: u64) -> Scan {
    async move {
        let names: Vec<_> = plans.iter().map(UndecidedPlan::place).collect();
        let rows = ledger.outbox().of_plans(&names, PREDECESSORS_PER_PLAN).await?;
        // The rows of a plan are in the order of seq.
        let mut lowest = vec![None; plans.len()];
        for (index, row) in &rows {
            lowest[*index].get_or_insert(*row);
        }
        let is_predecessor = |(index, row): &(usize, OutboxRow)| row.seq < plans[*index].lowest;
        let predecessors: Vec<_> = rows.into_iter().filter(is_predecessor).map(|(_, row)| row).collect();
        let events =
            if predecessors.is_empty() { Vec::new() } else { ledger.outbox().events(&predecessors, max_bytes).await? };
        Ok(ScanResult::Predecessors { plans: plans.into_iter().zip(lowest).collect(), events })
    }
    .boxed()
}
