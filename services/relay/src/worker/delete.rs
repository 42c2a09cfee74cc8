//! Deleting what was acknowledged.

use tokio::time::Instant;

use super::Worker;
use crate::outbox_scan::{self, Deletion, Done};

/// Rows that one deletion takes.
const DELETED: usize = 1_000;

impl Worker {
    pub(super) fn start_deletion(&mut self, draining: bool) {
        let now = Instant::now();
        let due = draining || self.done.len() >= DELETED || self.delete_at.is_some_and(|at| now >= at);
        let away = self.ledger_pause.is_some_and(|pause| now < pause);
        if self.done.is_empty() || self.deleting.is_some() || !due || away {
            return;
        }
        let rest = self.done.split_off(self.done.len().min(DELETED));
        let batch = std::mem::replace(&mut self.done, rest);
        self.delete_at = (!self.done.is_empty()).then_some(now);
        self.deleting = Some(outbox_scan::delete(self.ledger.clone(), batch));
    }

    pub(super) fn deleted(&mut self, Deletion { done, result }: Deletion) {
        match result {
            Ok((deleted, phantoms)) => {
                self.metrics.deleted.inc_by(deleted as u64);
                for at in phantoms {
                    let header = &done[at].record.header;
                    self.metrics.phantoms.inc();
                    let hash = done[at].record.event_hash;
                    tracing::error!(
                        tenant = header.tenant, plan = header.plan, seq = header.seq, %hash,
                        "phantom: the stream holds an event that the ledger does not; a failover lost it, or it was forged"
                    );
                }
                for Done { id, .. } in done {
                    self.windows.deleted(id);
                    if self.look.is_some() {
                        self.gone.insert(id);
                    }
                }
            }
            Err(error) => {
                self.done.extend(done);
                self.delete_at = Some(Instant::now() + super::LEDGER_PAUSE);
                self.ledger_failed(&error);
            }
        }
    }
}
