//! Deletion of acknowledged rows, in batches (`docs/spec/protocol.md#relay-4`).

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sealbus_core::event::Record;
use sealbus_ledger::outbox::Acknowledged;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::time::Instant;

use super::{LEDGER_PAUSE, Worker};

/// The maximum number of rows in one deletion.
const MAX_ROWS: usize = 1_000;

/// The outbox row of an acknowledged event.
#[derive(Clone, Debug)]
pub(super) struct AcknowledgedRow {
    /// The id of the row.
    pub id: i64,
    /// The event.
    pub record: Arc<Record>,
}

/// A running deletion.
pub(super) type Deletion = BoxFuture<'static, DeletionResult>;

/// The result of a deletion.
pub(super) struct DeletionResult {
    /// The rows that were to be deleted.
    rows: Vec<AcknowledgedRow>,
    result: Result<Deleted, LedgerError>,
}

/// What a deletion found.
struct Deleted {
    /// The number of deleted rows. Others may have been deleted by another relay.
    count: usize,
    /// The indexes in `rows` of the events that the ledger does not hold.
    phantoms: Vec<usize>,
}

impl Worker {
    /// Starts a deletion if one is due and none is running.
    pub(super) fn start_deletion(&mut self, draining: bool) {
        let now = Instant::now();
        let is_due = draining || self.acknowledged.len() >= MAX_ROWS || self.delete_at.is_some_and(|time| now >= time);
        let is_paused = self.ledger_paused_until.is_some_and(|until| now < until);
        if self.acknowledged.is_empty() || self.deletion.is_some() || !is_due || is_paused {
            return;
        }
        let rest = self.acknowledged.split_off(self.acknowledged.len().min(MAX_ROWS));
        let rows = std::mem::replace(&mut self.acknowledged, rest);
        self.delete_at = (!self.acknowledged.is_empty()).then_some(now);
        let ledger = self.ledger.clone();
        self.deletion = Some(
            async move {
                let result = delete(&ledger, &rows).await;
                DeletionResult { rows, result }
            }
            .boxed(),
        );
    }

    /// Handles the result of a deletion. After a failure the rows are deleted later.
    pub(super) fn on_deleted(&mut self, DeletionResult { rows, result }: DeletionResult) {
        match result {
            Ok(Deleted { count, phantoms }) => {
                self.metrics.deleted_rows.inc_by(count as u64);
                for index in phantoms {
                    let Record { header, event_hash, .. } = rows[index].record.as_ref();
                    self.metrics.phantoms.inc();
                    tracing::error!(
                        tenant = header.tenant,
                        plan = header.plan,
                        seq = header.seq,
                        hash = %event_hash,
                        "phantom: the stream has an event that the ledger does not hold; a failover lost it, or it is forged"
                    );
                }
                for AcknowledgedRow { id, .. } in rows {
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
async fn delete(ledger: &Ledger, rows: &[AcknowledgedRow]) -> Result<Deleted, LedgerError> {
    let acknowledged: Vec<Acknowledged<'_>> =
        rows.iter().map(|row| Acknowledged { id: row.id, record: &row.record }).collect();
    let deleted = ledger.outbox().delete_acknowledged(&acknowledged).await?;
    let missing: Vec<usize> = if deleted.len() == rows.len() {
        Vec::new()
    } else {
        (0..rows.len()).filter(|index| !deleted.contains(&rows[*index].id)).collect()
    };
    let phantoms = if missing.is_empty() {
        Vec::new()
    } else {
        let events: Vec<Acknowledged<'_>> = missing.iter().map(|index| acknowledged[*index]).collect();
        ledger.outbox().phantoms(&events).await?
    };
    Ok(Deleted { count: deleted.len(), phantoms: phantoms.into_iter().map(|index| missing[index]).collect() })
}
