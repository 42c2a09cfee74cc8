//! Events that must be there because somebody was told so: receipts, and rows of the sealing queue.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::hash::Hash;
use crate::verify::{Finding, Verdict};

/// The event hashes that must be found somewhere among the records, of many plans at once (check 18).
#[derive(Debug, Default)]
pub struct Owed(HashMap<Hash, Event>);

#[derive(Debug)]
struct Event {
    tenant: String,
    plan: String,
    seq: u64,
    found: AtomicBool,
}

impl Owed {
    /// Adds an event: its place, by which it is named if it is missing, and its hash.
    pub fn add(&mut self, tenant: &str, plan: &str, seq: u64, event_hash: Hash) {
        self.0.entry(event_hash).or_insert_with(|| Event {
            tenant: tenant.to_owned(),
            plan: plan.to_owned(),
            seq,
            found: AtomicBool::new(false),
        });
    }

    /// Those that no record of the plans checked so far is. It says something once all plans were checked.
    pub fn missing(&self) -> impl Iterator<Item = Finding> {
        self.0.iter().filter(|(_, event)| !event.found.load(Ordering::Relaxed)).map(|(hash, event)| Finding {
            verdict: Verdict::Missing,
            tenant: event.tenant.clone(),
            plan: event.plan.clone(),
            seq: event.seq,
            detail: format!("event {hash} was acknowledged and is nowhere"),
        })
    }

    pub(super) fn found(&self, event_hash: &Hash) {
        if let Some(event) = self.0.get(event_hash) {
            event.found.store(true, Ordering::Relaxed);
        }
    }
}
