//! Events that have to exist because a receipt or a row of the seal queue acknowledges them
//! (`docs/spec/integrity.md#verify-18`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::hash::Hash;
use crate::verify::{Finding, Verdict};

/// The acknowledged events that have to be found among the records: by event hash, the finding if the event is missing,
/// and whether it was found. Shared by the checks of all plans.
#[derive(Debug, Default)]
pub struct UnansweredReceipts(HashMap<Hash, (Finding, AtomicBool)>);

impl UnansweredReceipts {
    /// Adds an event that has to be found. Tenant, plan and seq are the place of the finding if it is missing.
    pub fn add(&mut self, tenant: &str, plan: &str, seq: u64, event_hash: Hash) {
        let finding = Finding {
            verdict: Verdict::Missing,
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            seq,
            detail: format!("event {event_hash} was acknowledged and is missing"),
        };
        self.0.entry(event_hash).or_insert((finding, AtomicBool::new(false)));
    }

    /// Returns a finding MISSING for each event that no record has. Complete only after all plans were checked.
    pub fn missing(&self) -> impl Iterator<Item = Finding> {
        let missing = self.0.values().filter(|(_, found)| !found.load(Ordering::Relaxed));
        missing.map(|(finding, _)| finding.clone())
    }

    /// Notes that a record has this event hash.
    pub(super) fn mark_found(&self, event_hash: &Hash) {
        if let Some((_, found)) = self.0.get(event_hash) {
            found.store(true, Ordering::Relaxed);
        }
    }
}
