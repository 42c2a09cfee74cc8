//! `wait=sealed`: a publish request that waits until its events are sealed, and is answered with their receipts.
//!
//! An event is sealed when the checkpoint that readers are shown covers it: the checkpoint is anchored and has its quorum of
//! witnesses. Waiting does not change the outcome of a request. The events are stored, and if the timeout passes or the
//! ledger is unreachable, the response contains receipts without proofs.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::Record;
use sealbus_core::{duration, error_chain};
use sealbus_ledger::Ledger;
use sealbus_ledger::log::EventPlace;
use sealbus_runtime::memory::{Budget, Reservation};
use tokio_util::sync::CancellationToken;

use crate::auth::Token;
use crate::http::Parameters;
use crate::publish::{Published, Receipt, SealWatch, proofs_of};

/// The memory that an event and its receipt take in addition to payload and metadata, in bytes, rounded up.
const OVERHEAD_BYTES: usize = 4_096;

/// Waits until events are sealed.
pub(crate) struct SealWaiting {
    /// Contains the proofs.
    pub ledger: Ledger,
    /// Notifies of checkpoints that cover the events.
    pub watch: Arc<SealWatch>,
    /// The memory for the events of requests that wait.
    pub memory: Budget,
    /// The longest time that a request may wait.
    pub max_wait: Duration,
    /// Ends all waits.
    pub shutdown: CancellationToken,
}

impl SealWaiting {
    /// Reads `wait` and `timeout`, and refuses all other parameters. Returns how long the request waits, or `None` if it does
    /// not wait.
    ///
    /// # Errors
    /// `invalid_field` if `wait` is not `sealed`, or if `timeout` is not a duration, exceeds the maximum or is given without
    /// `wait`.
    pub(crate) fn read(&self, mut parameters: Parameters) -> Result<Option<Duration>, Refused> {
        let (wait, timeout) = (parameters.text("wait")?, parameters.text("timeout")?);
        parameters.finish()?;
        let refuse = |name, rule, detail: String| Err(Refused::field(ErrorKind::InvalidField, name, rule, detail));
        match wait.as_deref() {
            None if timeout.is_none() => return Ok(None),
            None => return refuse("timeout", "dependency", "is only allowed with wait=sealed".into()),
            Some("sealed") => {}
            Some(_) => return refuse("wait", "enum", "must be sealed".into()),
        }
        let Some(timeout) = timeout else { return Ok(Some(self.max_wait)) };
        match duration::parse(&timeout) {
            Err(_) => refuse("timeout", "format", "must be digits followed by a unit, for example 500ms or 5s".into()),
            Ok(timeout) if timeout > self.max_wait => {
                refuse("timeout", "maximum", format!("must be at most {:?}", self.max_wait))
            }
            Ok(timeout) => Ok(Some(timeout)),
        }
    }

    /// Waits until all of these events are sealed, or the timeout passes. Then adds to each event its receipt, with its proof if
    /// it is sealed by then.
    ///
    /// `memory` is that of the request's body. It is given back during the wait, in exchange for memory for waiting requests; if
    /// that is exhausted, the request is answered without waiting. Returns the memory for the answer.
    pub(crate) async fn wait(
        &self,
        token: &Token,
        timeout: Duration,
        mut memory: Reservation,
        published: &mut [Published],
    ) -> Reservation {
        let records: Vec<&Record> = published.iter().map(|event| event.stored.as_ref()).collect();
        // The answer contains an event twice: as it is shown, and in its receipt.
        let bytes = records.iter().map(|record| OVERHEAD_BYTES + 2 * record.content_bytes()).sum();
        if let Ok(reservation) = self.memory.try_reserve(&token.name, bytes) {
            memory = reservation;
            let sealed = self.watch.wait_until_sealed(last_of_each_plan(&records));
            let waiting = tokio::time::timeout(timeout, sealed);
            // However the wait ended, the receipts tell which events are sealed.
            let _ = self.shutdown.run_until_cancelled(waiting).await;
        }
        let proofs = proofs_of(&self.ledger, &records).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error_chain(&error), "proofs cannot be read; stored events are returned without them");
            vec![None; records.len()]
        });
        for (event, proof) in published.iter_mut().zip(proofs) {
            // Without a proof the event is shown without a log index, even if it has one.
            Arc::make_mut(&mut event.view.record).log_index = proof.as_ref().map(|(index, _)| *index);
            event.receipt = Some(Receipt::new(&event.stored, proof));
        }
        memory
    }
}

/// Returns the last event of each plan. Within a plan the log keeps the order of seqs, so the earlier events are sealed too
/// when the last one is.
fn last_of_each_plan(records: &[&Record]) -> Vec<EventPlace> {
    let mut last: HashMap<(&str, &str), u64> = HashMap::new();
    for Record { header, .. } in records.iter().copied() {
        let seq = last.entry((&header.tenant, &header.plan)).or_default();
        *seq = header.seq.max(*seq);
    }
    let place =
        |((tenant, plan), seq): ((&str, &str), u64)| EventPlace { tenant: tenant.into(), plan: plan.into(), seq };
    last.into_iter().map(place).collect()
}
