//! Deletion of acknowledged rows, in batches (`docs/spec/protocol.md#relay-4`).

use std::collections::HashSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use sealbus_core::event::Record;
use sealbus_ledger::outbox::Acknowledged;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::time::Instant;

use super::{Event, LEDGER_PAUSE, Worker};
use crate::window::Row;

/// The maximum number of rows in one deletion.
const MAX_ROWS: usize = 1_000;

/// A running deletion, which returns the rows that were to be deleted, and what it found.
pub(super) type Deletion = BoxFuture<'static, (Vec<Row<Event>>, Result<Deleted, LedgerError>)>;

/// What a deletion found.
pub(super) struct Deleted {
    /// The number of deleted rows. Others may have been deleted by another relay.
    count: usize,
    /// The events that the ledger does not hold.
    phantoms: Vec<Record>,
}

impl Worker {
    /// Starts a deletion if one is due and none is running.
    pub(super) fn start_deletion(&mut self, draining: bool) {
        let now = Instant::now();
        let is_due = draining || self.acknowledged.len() >= MAX_ROWS || self.delete_at.is_some_and(|time| now >= time);
        let is_paused = self.ledger_paused_until(now).is_some();
        if self.acknowledged.is_empty() || self.deletion.is_some() || !is_due || is_paused {
            return;
        }
        let rows: Vec<_> = self.acknowledged.drain(..self.acknowledged.len().min(MAX_ROWS)).collect();
        self.delete_at = (!self.acknowledged.is_empty()).then_some(now);
        let ledger = self.resources.ledger.clone();
        let deletion = async move {
            let deleted = delete(&ledger, &rows).await;
            (rows, deleted)
        };
        self.deletion = Some(deletion.boxed());
    }

    /// Handles the result of a deletion. After a failure the rows are deleted later.
    pub(super) fn on_deleted(&mut self, rows: Vec<Row<Event>>, result: Result<Deleted, LedgerError>) {
        self.deletion = None;
        match result {
            Ok(Deleted { count, phantoms }) => {
                self.resources.metrics.deleted_rows.inc_by(count as u64);
                for phantom in phantoms {
                    self.resources.metrics.phantoms.inc();
                    tracing::error!(
                        tenant = phantom.header.tenant,
                        plan = phantom.header.plan,
                        seq = phantom.header.seq,
                        hash = %phantom.event_hash,
                        "phantom: the stream has an event that the ledger does not hold; a failover lost it, or it is forged"
                    );
                }
                for Row { id, .. } in rows {
                    self.windows.on_row_deleted(id);
                    if self.scan.is_some() {
                        self.deleted_rows.insert(id);
                    }
                }
            }
            Err(error) => {
                self.acknowledged.extend(rows);
                self.delete_at = Some(Instant::now() + LEDGER_PAUSE);
                self.on_ledger_failed(&error);
            }
        }
    }
}

/// Deletes rows. If some were not there, checks that the ledger holds their events.
async fn delete(ledger: &Ledger, rows: &[Row<Event>]) -> Result<Deleted, LedgerError> {
    let mut rows: Vec<_> = rows.iter().map(|row| Acknowledged { id: row.id, record: &row.event.record }).collect();
    let deleted: HashSet<i64> = ledger.outbox().delete_acknowledged(&rows).await?.into_iter().collect();
    rows.retain(|row| !deleted.contains(&row.id));
    let phantoms = if rows.is_empty() { Vec::new() } else { ledger.outbox().phantoms(&rows).await? };
    Ok(Deleted {
        count: deleted.len(),
        phantoms: phantoms.into_iter().map(|index| rows[index].record.clone()).collect(),
    })
}
