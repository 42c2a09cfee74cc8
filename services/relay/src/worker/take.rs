//! Taking in what is owed: hints, and looks into the outbox.

use std::error::Error;
use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_ledger::LedgerError;
use sealbus_ledger::outbox::{OutboxRow, Unsendable};
use tokio::time::Instant;

use super::{Event, Sweep, Worker};
use crate::hints::Hinted;
use crate::outbox_scan::{self, Events, Look, Looking, Undecided};
use crate::window::{PlanId, PlanName, Row, Source};

/// Plans in one question about elders.
const ASKED: usize = 256;

impl Worker {
    pub(super) fn take_hint(&mut self, Hinted { id, record }: Hinted) {
        self.water.saw(id);
        let (plan, seq) = (name_of(&record), record.header.seq);
        let row = Row { id, bytes: size_of_record(&record), event: Event { record, plan_no: None } };
        self.windows.offer(&plan, seq, row, Source::Hint);
    }

    pub(super) fn start_look(&mut self, draining: bool) {
        let now = Instant::now();
        if self.look.is_some() || draining || !self.on.up || self.ledger_pause.is_some_and(|pause| now < pause) {
            return;
        }
        self.ledger_pause = None;
        if now >= self.next_sweep {
            self.next_sweep = now + self.config.sweep;
            self.windows.ask_again();
            if self.sweep == Sweep::Idle {
                let full = now >= self.next_full_sweep;
                if full {
                    self.next_full_sweep = now + self.config.full_sweep;
                    self.blocked.clear();
                }
                let from = if full { i64::MIN } else { self.water.bound() };
                self.sweep = Sweep::At { from, first: true };
            }
        }
        let may_sweep = self.sweep != Sweep::Idle && self.has_room() && self.pause.until(now).is_none();
        if self.windows.has_undecided() && !(may_sweep && std::mem::take(&mut self.asked_last)) {
            let asked = self.windows.take_undecided(ASKED);
            if !asked.is_empty() {
                let asked =
                    asked.into_iter().map(|(plan, lowest, highest)| Undecided { plan, lowest, highest }).collect();
                self.asked_last = true;
                self.begin(outbox_scan::plans(self.ledger.clone(), asked, self.config.memory as u64));
                return;
            }
        }
        let Sweep::At { from, first } = self.sweep else { return };
        if may_sweep {
            let ask_writers = first && now >= self.next_bound && self.water.wants_writers();
            if ask_writers {
                self.next_bound = now + self.config.bound_every;
            }
            self.begin(outbox_scan::page(
                self.ledger.clone(),
                self.partition,
                from,
                self.config.page,
                self.water.seen(),
                ask_writers,
            ));
        }
    }

    fn begin(&mut self, look: Looking) {
        self.gone.clear();
        self.look = Some(look);
    }

    pub(super) fn looked(&mut self, look: Result<Look, LedgerError>) {
        match look {
            Ok(Look::Page { seen, writers, rows }) => self.page_read(seen, writers, rows),
            Ok(Look::Events { events, cut }) => {
                for (row, event) in events {
                    self.take_row(row, event);
                }
                if let Some(from) = cut {
                    self.sweep = Sweep::At { from, first: false };
                }
            }
            Ok(Look::Plans { asked, lowest, events }) => self.plans_read(&asked, &lowest, events),
            Err(error) => {
                self.sweep = Sweep::Idle;
                self.ledger_failed(&error);
            }
        }
    }

    pub(super) fn ledger_failed(&mut self, error: &LedgerError) {
        tracing::warn!(
            partition = self.partition,
            error = error as &dyn Error,
            "the outbox cannot be used; it will be tried again"
        );
        let again = Instant::now() + super::LEDGER_PAUSE;
        self.ledger_pause = Some(again);
        self.next_sweep = again;
    }

    fn page_read(&mut self, seen: i64, writers: Option<Vec<String>>, rows: Vec<OutboxRow>) {
        let Sweep::At { from, first } = self.sweep else { return };
        if first {
            if let Some(writers) = writers {
                self.water.writers(seen, writers);
            }
            self.water.read(rows.first().map(|row| row.id), from == i64::MIN);
        }
        let last = rows.last().map(|row| row.id);
        let page_was_full = rows.len() == self.config.page as usize;
        let mut unknown = Vec::new();
        for row in rows {
            self.water.saw(row.id);
            match self.windows.plan_of(row.id) {
                Some(plan) => self.plan_owes(&plan, row),
                None if self.gone.contains(&row.id) || self.blocked.contains(&row.plan_no) => {}
                None => unknown.push(row),
            }
        }
        // What does not fit is read again, later: rows kept aside would grow stale.
        let room = self.config.memory.saturating_sub(self.windows.bytes()).max(1);
        let mut next = last.filter(|_| page_was_full).map(|last| last + 1);
        let fits = (self.config.page as usize * 2).saturating_sub(self.windows.rows()).max(1);
        if unknown.len() > fits {
            next = Some(unknown[fits].id);
            unknown.truncate(fits);
        }
        self.sweep = next.map_or(Sweep::Idle, |from| Sweep::At { from, first: false });
        if !unknown.is_empty() {
            // The same look goes on: rows deleted since it began are still to be told apart.
            self.look = Some(outbox_scan::events(self.ledger.clone(), unknown, room as u64));
        }
    }

    fn plans_read(&mut self, asked: &[Undecided], lowest: &[(usize, OutboxRow)], events: Events) {
        let mut found = vec![None; asked.len()];
        for (at, row) in lowest {
            found[*at] = Some(*row);
        }
        for (Undecided { plan, highest, .. }, lowest) in asked.iter().zip(found) {
            match lowest {
                Some(row) => self.plan_owes(plan, row),
                // None of it is owed: others have sent what was hinted here.
                None => self.windows.drop_waiting(plan, *highest),
            }
        }
        for (row, event) in events {
            self.take_row(row, event);
        }
    }

    /// The outbox showed a row of a plan that has events in memory.
    fn plan_owes(&mut self, plan: &PlanId, row: OutboxRow) {
        if self.blocked.contains(&row.plan_no) {
            // What was hinted of it would only take up room.
            self.windows.drop_waiting(plan, u64::MAX);
        } else {
            self.windows.smallest(plan, row.smallest_seq);
        }
    }

    fn take_row(&mut self, row: OutboxRow, event: Result<Record, Unsendable>) {
        if self.windows.knows(row.id) || self.gone.contains(&row.id) || self.blocked.contains(&row.plan_no) {
            return;
        }
        match event {
            Ok(record) => {
                let (plan, seq) = (name_of(&record), record.header.seq);
                self.windows.smallest(&plan, row.smallest_seq);
                let event = Event { record: Arc::new(record), plan_no: Some(row.plan_no) };
                let row = Row { id: row.id, bytes: size_of_record(&event.record), event };
                self.windows.offer(&plan, seq, row, Source::Outbox);
            }
            Err(error) => {
                self.blocked.insert(row.plan_no);
                self.metrics.blocked.inc();
                let error = &error as &(dyn Error + 'static);
                tracing::error!(
                    outbox_id = row.id,
                    seq = row.seq,
                    error,
                    "an event that is owed cannot be read, and its plan waits; run `sealbus verify --all`"
                );
            }
        }
    }
}

fn name_of(record: &Record) -> PlanId {
    Arc::new(PlanName { tenant: record.header.tenant.clone(), plan: record.header.plan.clone() })
}

fn size_of_record(record: &Record) -> usize {
    record.payload.as_ref().map_or(0, String::len) + record.metadata.len() + 1_024
}
