//! Adding events to the windows: from hints, and from scans of the outbox (`docs/spec/protocol.md#relay-3`).

use std::sync::Arc;

use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::low_water::next_unbounded;
use sealbus_ledger::outbox::{OutboxRow, Unsendable};
use tokio::time::Instant;

use super::{Event, LEDGER_PAUSE, NextPage, Worker};
use crate::hints::HintedEvent;
use crate::outbox_scan::{self, RowEvents, Scan, ScanResult};
use crate::window::{PlanId, Row, Source};

/// The maximum number of plans in one scan for predecessors.
const PLANS_PER_SCAN: usize = 256;
/// The memory that a record takes in addition to its payload and metadata, in bytes, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 1_024;

impl Worker {
    /// Adds the event of a hint.
    pub(super) fn add_hinted(&mut self, HintedEvent { outbox_id, record }: HintedEvent) {
        self.low_water.on_seen(outbox_id);
        self.add(outbox_id, Event { record, plan_no: None }, Source::Hint);
    }

    fn add(&mut self, outbox_id: i64, event: Event, source: Source) {
        let (plan, seq) = (PlanId::of(&event.record.header), event.record.header.seq);
        self.windows.add(&plan, seq, Row { id: outbox_id, bytes: memory_bytes(&event.record), event }, source);
    }

    /// Starts a scan if one is due and none is running: for the predecessors of undecided plans, or for the next page of the
    /// outbox scan. If both are due, they alternate.
    pub(super) fn start_scan(&mut self, draining: bool) {
        let now = Instant::now();
        if self.scan.is_some() || draining || !self.connection.up || self.ledger_paused_until(now).is_some() {
            return;
        }
        if now >= self.next_outbox_scan() {
            self.start_outbox_scan(now);
        }
        let may_read_page = self.next_page.is_some() && self.has_capacity() && self.backoff.paused_until(now).is_none();
        if self.windows.has_undecided() && !(may_read_page && std::mem::take(&mut self.scanned_predecessors)) {
            let undecided = self.windows.take_undecided(PLANS_PER_SCAN);
            if !undecided.is_empty() {
                self.scanned_predecessors = true;
                let max_bytes = self.config.max_memory_bytes as u64;
                self.run_scan(outbox_scan::predecessors(self.resources.ledger.clone(), undecided, max_bytes));
                return;
            }
        }
        if let Some(NextPage { from, is_first }) = self.next_page
            && may_read_page
        {
            let reads_writers = is_first && now >= self.next_low_water && self.low_water.needs_writers();
            if reads_writers {
                self.next_low_water = now + self.config.low_water_interval;
            }
            let highest_seen = reads_writers.then(|| self.low_water.highest_seen());
            let (ledger, limit) = (self.resources.ledger.clone(), self.config.page_rows);
            let is_full_scan = from == i64::MIN;
            self.full_scan_started = is_full_scan.then_some(now);
            // The first page of a full scan trusts nothing that is in memory.
            let known = if is_full_scan { Vec::new() } else { self.known_plans.list() };
            self.run_scan(outbox_scan::page(ledger, self.partition, from, limit, known, highest_seen));
        }
    }

    /// Starts an outbox scan, unless one is running.
    fn start_outbox_scan(&mut self, now: Instant) {
        self.next_outbox_scan = now + self.config.scan_interval;
        self.windows.report_undecided_again();
        if self.next_page.is_some() {
            return;
        }
        self.rows_expected = false;
        let mut from = self.low_water.bound();
        if now >= self.next_full_scan {
            self.blocked.clear();
            from = i64::MIN;
        }
        self.next_page = Some(NextPage { from, is_first: true });
    }

    fn run_scan(&mut self, scan: Scan) {
        self.deleted_rows.clear();
        self.scan = Some(scan);
    }

    /// Handles the result of a scan.
    pub(super) fn on_scanned(&mut self, result: Result<ScanResult, LedgerError>) {
        self.scan = None;
        if let Some(started) = self.full_scan_started.take() {
            let now = Instant::now();
            self.next_full_scan = now + next_unbounded(self.config.full_scan_interval, now - started);
        }
        match result {
            Ok(ScanResult::Page { writers, rows }) => self.on_page(writers, rows),
            Ok(ScanResult::Events { events, cut }) => {
                self.add_rows(events);
                if let Some(from) = cut {
                    self.next_page = Some(NextPage { from, is_first: false });
                }
            }
            Ok(ScanResult::Predecessors { plans, events }) => {
                for (undecided, lowest) in plans {
                    match lowest {
                        Some(row) => self.on_lowest_row(&undecided.plan, row),
                        // Another relay has sent all hinted events.
                        None => self.windows.drop_waiting(&undecided.plan, undecided.highest),
                    }
                }
                self.add_rows(events);
            }
            Err(error) => {
                self.next_page = None;
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
        self.rows_expected = true;
        self.next_outbox_scan = until;
    }

    /// Handles a page of the outbox scan: updates the windows of known plans, and reads the events of unknown rows.
    fn on_page(&mut self, writers: Option<(i64, Vec<String>)>, rows: Vec<OutboxRow>) {
        let Some(NextPage { from, is_first }) = self.next_page else { return };
        if is_first {
            if let Some((highest_seen, writers)) = writers {
                self.low_water.on_writers(highest_seen, writers);
            }
            self.low_water.on_first_page(rows.first().map(|row| row.id), from == i64::MIN);
        }
        let is_full_page = rows.len() == self.config.page_rows as usize;
        let mut next = rows.last().filter(|_| is_full_page).map(|last| last.id + 1);
        let mut unknown = Vec::new();
        for row in rows {
            self.low_water.on_seen(row.id);
            match self.windows.plan_of_row(row.id) {
                Some(plan) => self.on_lowest_row(&plan, row),
                None if self.is_ignored(&row) => {}
                None => unknown.push(row),
            }
        }
        // Rows that exceed the capacity are read again later, because rows that are kept would become outdated.
        let max_bytes = self.config.max_memory_bytes.saturating_sub(self.windows.bytes()).max(1);
        let max_rows = (self.config.page_rows as usize * 2).saturating_sub(self.windows.events()).max(1);
        if unknown.len() > max_rows {
            next = Some(unknown[max_rows].id);
            unknown.truncate(max_rows);
        }
        self.next_page = next.map(|from| NextPage { from, is_first: false });
        if !unknown.is_empty() {
            // This continues the same scan, so the rows that were deleted since it started stay relevant.
            self.scan = Some(outbox_scan::events(self.resources.ledger.clone(), unknown, max_bytes as u64));
        }
    }

    /// Handles a row of a plan with events in memory. The row tells the smallest seq of the plan in the outbox.
    fn on_lowest_row(&mut self, plan: &PlanId, row: OutboxRow) {
        if self.blocked.contains(&row.plan_no) {
            // Hinted events of a plan that is held back would only take memory.
            self.windows.drop_waiting(plan, u64::MAX);
        } else {
            self.windows.set_smallest(plan, row.smallest_seq);
            self.known_plans.record(row.plan_no, self.windows.acknowledged(plan));
        }
    }

    /// Returns whether a row was deleted since the scan started, or is of a plan that is held back.
    fn is_ignored(&self, row: &OutboxRow) -> bool {
        self.deleted_rows.contains(&row.id) || self.blocked.contains(&row.plan_no)
    }

    /// Adds the events of rows, and holds back the plan of an event that cannot be sent.
    fn add_rows(&mut self, events: RowEvents) {
        for (row, event) in events {
            if !self.windows.knows_row(row.id) && !self.is_ignored(&row) {
                self.add_row(row, event);
            }
        }
    }

    fn add_row(&mut self, row: OutboxRow, event: Result<Record, Unsendable>) {
        match event {
            Ok(record) => {
                let plan = PlanId::of(&record.header);
                self.windows.set_smallest(&plan, row.smallest_seq);
                self.known_plans.record(row.plan_no, self.windows.acknowledged(&plan));
                let event = Event { record: Arc::new(record), plan_no: Some(row.plan_no) };
                self.add(row.id, event, Source::Outbox);
            }
            Err(error) => {
                self.blocked.insert(row.plan_no);
                self.resources.metrics.blocked_plans.inc();
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
