//! `wait=sealed`: a publish call that waits until its events are sealed, and is answered with their receipts.
//!
//! - `request`: what a call asks for.
//! - `receipts`: proofs against the shown checkpoint, and receipts made of them.
//!
//! An event is sealed here once the checkpoint that readers are shown covers it: it is anchored then, and has its quorum of
//! witnesses. Waiting never changes what a call has come to: the events are stored, and when the time is up, or the ledger
//! away, the answer says so without proofs.

mod receipts;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_ledger::log::EventPlace;

pub(crate) use self::receipts::Receipted;
pub(crate) use self::request::Wait;
use crate::app::App;
use crate::publish::publishing::Published;

impl App {
    /// Waits until all of these events are sealed, as long as `wait` says; then each with its receipt, in their order, and with
    /// its proof where it has one by then.
    pub async fn sealed(&self, wait: Wait, published: &[&Published]) -> Vec<Receipted> {
        let records: Vec<&Record> = published.iter().map(|event| event.stored.as_ref()).collect();
        let bytes = records.iter().map(|record| weight(record)).sum();
        // What waits is held in memory. Where too much is, a call is answered at once: its events are stored all the same.
        if let Some(_share) = self.watch.share(bytes) {
            let waiting = tokio::time::timeout(wait.within, self.watch.sealed(last_of_plans(&records)));
            // Sealed, out of time, or told to stop: the receipts say which events are covered.
            let _ = self.shutdown.run_until_cancelled(waiting).await;
        }
        self.receipts(published).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = error_chain(&error),
                "stored events are answered without the proofs that were asked for"
            );
            published.iter().map(|event| Receipted::new(event, None)).collect()
        })
    }
}

/// Within a plan leaves follow seq, so that the last event of each plan stands for the others.
fn last_of_plans(records: &[&Record]) -> Vec<EventPlace> {
    let mut last: HashMap<(&str, &str), u64> = HashMap::new();
    for Record { header, .. } in records.iter().copied() {
        let seq = last.entry((&header.tenant, &header.plan)).or_default();
        *seq = header.seq.max(*seq);
    }
    let place =
        |((tenant, plan), seq): ((&str, &str), u64)| EventPlace { tenant: tenant.into(), plan: plan.into(), seq };
    last.into_iter().map(place).collect()
}

/// Bytes that a record holds in memory, or a little more.
fn weight(record: &Record) -> usize {
    1_024 + record.metadata.len() + record.payload.as_ref().map_or(0, String::len)
}
