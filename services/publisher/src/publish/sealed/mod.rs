//! `wait=sealed`: a publish request that waits until its events are sealed, and is answered with their receipts.
//!
//! An event is sealed when the checkpoint that readers are shown covers it: the checkpoint is anchored and has its quorum of
//! witnesses. Waiting does not change the outcome of a request. The events are stored, and if the timeout passes or the
//! ledger is unreachable, the response contains receipts without proofs.

pub(crate) mod receipts;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::Record;
use sealbus_core::{duration, error_chain};
use sealbus_ledger::log::EventPlace;
use tokio_util::sync::CancellationToken;

use crate::http::parameters::Parameters;
use crate::publish::publishing::Published;
use crate::publish::seal_watch::SealWatch;
use crate::publish::sealed::receipts::{EventWithReceipt, Receipts};

/// The memory that a record takes in addition to its payload and metadata, in bytes, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 1_024;

/// How long a publish request waits until its events are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    timeout: Duration,
}

/// Waits until events are sealed.
pub(crate) struct SealWaiting {
    /// Creates the receipts.
    pub receipts: Receipts,
    /// Notifies of checkpoints that cover the events.
    pub watch: Arc<SealWatch>,
    /// The longest time that a request may wait.
    pub max_wait: Duration,
    /// Ends all waits.
    pub shutdown: CancellationToken,
}

impl SealWaiting {
    /// Reads `wait` and `timeout`, and refuses all other parameters. Returns `None` if the request does not wait.
    ///
    /// # Errors
    /// `invalid_field` if `wait` is not `sealed`, or if `timeout` is not a duration, exceeds the maximum or is given without
    /// `wait`.
    pub(crate) fn read(&self, mut parameters: Parameters) -> Result<Option<Wait>, Refused> {
        let (wait, timeout) = (parameters.text("wait")?, parameters.text("timeout")?);
        parameters.finish()?;
        let refuse = |name, rule, detail: String| Err(Refused::field(ErrorKind::InvalidField, name, rule, detail));
        match wait.as_deref() {
            None if timeout.is_none() => return Ok(None),
            None => return refuse("timeout", "dependency", "is only allowed with wait=sealed".into()),
            Some("sealed") => {}
            Some(_) => return refuse("wait", "enum", "must be sealed".into()),
        }
        let Some(timeout) = timeout else { return Ok(Some(Wait { timeout: self.max_wait })) };
        match duration::parse(&timeout) {
            Err(_) => refuse("timeout", "format", "must be digits followed by a unit, for example 500ms or 5s".into()),
            Ok(timeout) if timeout > self.max_wait => {
                refuse("timeout", "maximum", format!("must be at most {:?}", self.max_wait))
            }
            Ok(timeout) => Ok(Some(Wait { timeout })),
        }
    }

    /// Waits until all of these events are sealed, or the timeout passes. Returns each event with its receipt, in the given
    /// order, and with its proof if it is sealed by then.
    pub(crate) async fn wait(&self, wait: Wait, published: &[&Published]) -> Vec<EventWithReceipt> {
        let records: Vec<&Record> = published.iter().map(|event| event.stored.as_ref()).collect();
        let bytes = records.iter().map(|record| memory_bytes(record)).sum();
        // A waiting request holds its records in memory. Once the budget is exhausted, requests are answered without waiting.
        if let Some(_reservation) = self.watch.reserve(bytes) {
            let sealed = self.watch.wait_until_sealed(last_of_each_plan(&records));
            let waiting = tokio::time::timeout(wait.timeout, sealed);
            // However the wait ended, the receipts tell which events are sealed.
            let _ = self.shutdown.run_until_cancelled(waiting).await;
        }
        self.receipts.of_published(published).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error_chain(&error), "proofs cannot be read; stored events are returned without them");
            published.iter().map(|event| EventWithReceipt::new(event, None)).collect()
        })
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

/// Returns an upper estimate of the memory that a record takes.
fn memory_bytes(record: &Record) -> usize {
    RECORD_OVERHEAD_BYTES + record.metadata.len() + record.payload.as_ref().map_or(0, String::len)
}
