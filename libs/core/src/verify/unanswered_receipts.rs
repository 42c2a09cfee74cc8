//! Events that have to exist because a receipt or a row of the seal queue acknowledges them
//! (`docs/spec/integrity.md#verify-18`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::hash::Hash;
use crate::verify::{Finding, Verdict};

/// The acknowledged events that have to be found among the records, by event hash. Shared by the checks of all plans.
#[derive(Debug, Default)]
pub struct UnansweredReceipts(HashMap<Hash, UnansweredReceipt>);

#[derive(Debug)]
struct UnansweredReceipt {
    tenant: String,
    plan: String,
    seq: u64,
    found: AtomicBool,
}

impl UnansweredReceipts {
    /// Adds an event that has to be found. Tenant, plan and seq are the place of the finding if it is missing.
    pub fn add(&mut self, tenant: &str, plan: &str, seq: u64, event_hash: Hash) {
        self.0.entry(event_hash).or_insert_with(|| UnansweredReceipt {
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            seq,
            found: AtomicBool::new(false),
        });
    }

    /// Returns a finding MISSING for each event that no record has. Complete only after all plans were checked.
    pub fn missing(&self) -> impl Iterator<Item = Finding> {
        self.0.iter().filter(|(_, receipt)| !receipt.found.load(Ordering::Relaxed)).map(|(event_hash, receipt)| {
            Finding {
                verdict: Verdict::Missing,
                tenant: receipt.tenant.clone(),
                plan: receipt.plan.clone(),
                seq: receipt.seq,
                detail: format!("event {event_hash} was acknowledged and is missing"),
            }
        })
    }

    /// Notes that a record has this event hash.
    pub(super) fn mark_found(&self, event_hash: &Hash) {
        if let Some(receipt) = self.0.get(event_hash) {
            receipt.found.store(true, Ordering::Relaxed);
        }
    }
}
