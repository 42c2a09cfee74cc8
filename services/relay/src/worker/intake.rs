//! Adding events to the windows: from hints, and from scans of the outbox (`docs/spec/protocol.md#relay-3`).

use std::sync::Arc;

use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::outbox::{OutboxRow, Unsendable};
use tokio::time::Instant;

use super::{Event, LEDGER_PAUSE, Sweep, Worker};
use crate::hints::HintedEvent;
use crate::outbox_scan::{self, RowEvents, Scan, ScanResult, UndecidedPlan};
use crate::window::{PlanId, Row, Source};

/// The maximum number of plans in one scan for predecessors.
const PLANS_PER_SCAN: usize = 256;
/// The memory that a record takes in addition to its payload and metadata, in bytes, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 1_024;

impl Worker {
    /// Adds the event of a hint.
    pub(super) fn add_hinted(&mut self, HintedEvent { outbox_id, record }: HintedEvent) {
        self.low_water.on_seen(outbox_id);
        let (plan, seq) = (PlanId::of(&record.header), record.header.seq);
        let row = Row { id: outbox_id, bytes: memory_bytes(&record), event: Event { record, plan_no: None } };
        self.windows.add(&plan, seq, row, Source::Hint);
    }

    /// Starts a scan if one is due and none is running: for the predecessors of undecided plans, or for the next page of the
    /// outbox scan. If both are due, they alternate.
    pub(super) fn start_scan(&mut self, draining: bool) {
        let now = Instant::now();
        let is_paused = self.ledger_paused_until.is_some_and(|until| now < until);
        if self.scan.is_some() || draining || !self.connection.up || is_paused {
            return;
        }
        self.ledger_paused_until = None;
        if now >= self.next_sweep {
            self.start_sweep(now);
        }
        let may_sweep = self.sweep != Sweep::Idle && self.has_capacity() && self.backoff.paused_until(now).is_none();
        if self.windows.has_undecided() && !(may_sweep && std::mem::take(&mut self.scanned_predecessors)) {
            let undecided = self.windows.take_undecided(PLANS_PER_SCAN);
            if !undecided.is_empty() {
                let plans =
                    undecided.into_iter().map(|(plan, lowest, highest)| UndecidedPlan { plan, lowest, highest });
                self.scanned_predecessors = true;
                let max_bytes = self.config.max_memory_bytes as u64;
                self.run_scan(outbox_scan::predecessors(self.ledger.clone(), plans.collect(), max_bytes));
                return;
            }
        }
        let Sweep::At { from, is_first_page } = self.sweep else { return };
        if may_sweep {
            let reads_writers = is_first_page && now >= self.next_low_water && self.low_water.needs_writers();
            if reads_writers {
                self.next_low_water = now + self.config.low_water_interval;
            }
            let highest_seen = reads_writers.then(|| self.low_water.highest_seen());
            let limit = self.config.page_rows;
            self.run_scan(outbox_scan::page(self.ledger.clone(), self.partition, from, limit, highest_seen));
        }
    }

    /// Starts an outbox scan, unless one is running.
    fn start_sweep(&mut self, now: Instant) {
        self.next_sweep = now + self.config.sweep_interval;
        self.windows.report_undecided_again();
        if self.sweep != Sweep::Idle {
            return;
        }
        let is_full = now >= self.next_full_sweep;
        if is_full {
            self.next_full_sweep = now + self.config.full_sweep_interval;
            self.blocked.clear();
        }
        let from = if is_full { i64::MIN } else { self.low_water.bound() };
        self.sweep = Sweep::At { from, is_first_page: true };
    }

    fn run_scan(&mut self, scan: Scan) {
        self.deleted_rows.clear();
        self.scan = Some(scan);
    }

    /// Handles the result of a scan.
    pub(super) fn on_scanned(&mut self, result: Result<ScanResult, LedgerError>) {
        match result {
            Ok(ScanResult::Page { writers, rows }) => self.on_page(writers, rows),
            Ok(ScanResult::Events { events, cut }) => {
                for (row, event) in events {
                    self.add_row(row, event);
                }
                if let Some(from) = cut {
                    self.sweep = Sweep::At { from, is_first_page: false };
                }
            }
            Ok(ScanResult::Predecessors { plans, lowest, events }) => self.on_predecessors(&plans, &lowest, events),
            Err(error) => {
                self.sweep = Sweep::Idle;
                self.on_ledger_failed(&error);
            }
        }
    }

    /// Pauses all use of the ledger after a failure.
    pub(super) fn on_ledger_failed(&mut self, error: &LedgerError) {
        tracing::warn!(
            partition = self.partition,
            error = %error_chain(error),
            "the outbox cannot be read or deleted from; retrying"
        );
        let until = Instant::now() + LEDGER_PAUSE;
        self.ledger_paused_until = Some(until);
        self.next_sweep = until;
    }

    /// Handles a page of the outbox scan: updates the windows of known plans, and reads the events of unknown rows.
    fn on_page(&mut self, writers: Option<(i64, Vec<String>)>, rows: Vec<OutboxRow>) {
        let Sweep::At { from, is_first_page } = self.sweep else { return };
        if is_first_page {
            if let Some((highest_seen, writers)) = writers {
                self.low_water.on_writers(highest_seen, writers);
            }
            self.low_water.on_first_page(rows.first().map(|row| row.id), from == i64::MIN);
        }
        let last = rows.last().map(|row| row.id);
        let is_full_page = rows.len() == self.config.page_rows as usize;
        let mut unknown = Vec::new();
        for row in rows {
            self.low_water.on_seen(row.id);
            match self.windows.plan_of_row(row.id) {
                Some(plan) => self.on_lowest_row(&plan, row),
                None if self.deleted_rows.contains(&row.id) || self.blocked.contains(&row.plan_no) => {}
                None => unknown.push(row),
            }
        }
        // Rows that exceed the capacity are read again later, because rows that are kept would become outdated.
        let max_bytes = self.config.max_memory_bytes.saturating_sub(self.windows.bytes()).max(1);
        let max_rows = (self.config.page_rows as usize * 2).saturating_sub(self.windows.events()).max(1);
        let mut next = last.filter(|_| is_full_page).map(|last| last + 1);
        if unknown.len() > max_rows {
            next = Some(unknown[max_rows].id);
            unknown.truncate(max_rows);
        }
        self.sweep = next.map_or(Sweep::Idle, |from| Sweep::At { from, is_first_page: false });
        if !unknown.is_empty() {
            // This continues the same scan, so the rows that were deleted since it started stay relevant.
            self.scan = Some(outbox_scan::events(self.ledger.clone(), unknown, max_bytes as u64));
        }
    }

    /// Handles the rows of undecided plans.
    fn on_predecessors(&mut self, plans: &[UndecidedPlan], lowest: &[(usize, OutboxRow)], events: RowEvents) {
        let mut lowest_of_plan = vec![None; plans.len()];
        for (index, row) in lowest {
            lowest_of_plan[*index] = Some(*row);
        }
        for (UndecidedPlan { plan, highest, .. }, lowest) in plans.iter().zip(lowest_of_plan) {
            match lowest {
                Some(row) => self.on_lowest_row(plan, row),
                // Another relay has sent all hinted events.
                None => self.windows.drop_waiting(plan, *highest),
            }
        }
        for (row, event) in events {
            self.add_row(row, event);
        }
    }

    /// Handles a row of a plan with events in memory. The row tells the smallest seq of the plan in the outbox.
    fn on_lowest_row(&mut self, plan: &PlanId, row: OutboxRow) {
        if self.blocked.contains(&row.plan_no) {
            // Hinted events of a plan that is held back would only take memory.
            self.windows.drop_waiting(plan, u64::MAX);
        } else {
            self.windows.set_smallest(plan, row.smallest_seq);
        }
    }

    /// Adds the event of a row, or holds back its plan if the event cannot be sent.
    fn add_row(&mut self, row: OutboxRow, event: Result<Record, Unsendable>) {
        if self.windows.knows_row(row.id) || self.deleted_rows.contains(&row.id) || self.blocked.contains(&row.plan_no)
        {
            return;
        }
        match event {
            Ok(record) => {
                let (plan, seq) = (PlanId::of(&record.header), record.header.seq);
                self.windows.set_smallest(&plan, row.smallest_seq);
                let event = Event { record: Arc::new(record), plan_no: Some(row.plan_no) };
                let row = Row { id: row.id, bytes: memory_bytes(&event.record), event };
                self.windows.add(&plan, seq, row, Source::Outbox);
            }
            Err(error) => {
                self.blocked.insert(row.plan_no);
                self.metrics.blocked_plans.inc();
                tracing::error!(
                    outbox_id = row.id,
                    plan_no = row.plan_no,
                    seq = row.seq,
                    error = %error_chain(&error),
                    "an event of the outbox cannot be read, and its plan is held back; run `sealbus verify --all`"
                );
            }
        }
    }
}

/// Returns an upper estimate of the memory that a record takes.
fn memory_bytes(record: &Record) -> usize {
    RECORD_OVERHEAD_BYTES + record.payload.as_ref().map_or(0, String::len) + record.metadata.len()
}
