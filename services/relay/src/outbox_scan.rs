//! Scans of the outbox. Each is a future that the worker runs next to its loop, one at a time.

use futures::FutureExt;
use futures::future::BoxFuture;
use sealbus_core::event::Record;
use sealbus_ledger::outbox::{OutboxRow, Unsendable};
use sealbus_ledger::{Ledger, LedgerError};

use crate::window::PlanId;

/// The maximum number of rows per plan that a scan for predecessors reads.
const PREDECESSORS_PER_PLAN: u32 = 64;

/// Outbox rows with their events, as the ledger returned them.
pub(crate) type RowEvents = Vec<(OutboxRow, Result<Record, Unsendable>)>;

/// A plan of which it is not known whether the predecessor of its lowest waiting event was acknowledged.
#[derive(Debug)]
pub(crate) struct UndecidedPlan {
    /// The plan.
    pub plan: PlanId,
    /// The lowest waiting seq.
    pub lowest: u64,
    /// The highest waiting seq.
    pub highest: u64,
}

/// The result of a scan.
pub(crate) enum ScanResult {
    /// Rows of the partition.
    Page {
        /// The writers of the outbox before the page was read, with the highest id that had been seen before that reading.
        writers: Option<(i64, Vec<String>)>,
        /// The rows, in the order of their ids.
        rows: Vec<OutboxRow>,
    },
    /// Events of rows.
    Events {
        /// The events, as many as fit into the given bytes.
        events: RowEvents,
        /// The id of the first row whose event did not fit.
        cut: Option<i64>,
    },
    /// The rows of undecided plans.
    Predecessors {
        /// The undecided plans.
        plans: Vec<UndecidedPlan>,
        /// The lowest row of each plan that has any, with the plan's index in `plans`.
        lowest: Vec<(usize, OutboxRow)>,
        /// The events below the lowest waiting event of each plan.
        events: RowEvents,
    },
}

/// A running scan.
pub(crate) type Scan = BoxFuture<'static, Result<ScanResult, LedgerError>>;

/// Reads up to `limit` rows of a partition from id `from` on. If `highest_seen` is given, the scan first reads the writers of
/// the outbox, for the low-water bound.
pub(crate) fn page(ledger: Ledger, partition: u32, from: i64, limit: u32, highest_seen: Option<i64>) -> Scan {
    async move {
        let writers = match highest_seen {
            Some(highest_seen) => Some((highest_seen, ledger.outbox().writers().await?)),
            None => None,
        };
        let rows = ledger.outbox().page(partition, from, limit).await?;
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
        let names: Vec<(&str, &str)> = plans.iter().map(|plan| (&*plan.plan.tenant, &*plan.plan.name)).collect();
        let rows = ledger.outbox().of_plans(&names, PREDECESSORS_PER_PLAN).await?;
        let mut lowest = rows.clone();
        lowest.dedup_by_key(|(index, _)| *index);
        let predecessors: Vec<OutboxRow> =
            rows.into_iter().filter(|(index, row)| row.seq < plans[*index].lowest).map(|(_, row)| row).collect();
        let events =
            if predecessors.is_empty() { Vec::new() } else { ledger.outbox().events(&predecessors, max_bytes).await? };
        Ok(ScanResult::Predecessors { plans, lowest, events })
    }
    .boxed()
}
