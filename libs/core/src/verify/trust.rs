//! What a verifier believes before it reads the first event of a plan.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    canonical,
    event::Record,
    names::{Plan, Tenant},
    seal::{KeyId, Keyring, Window},
    verify::Verdict,
};

/// The origin and the keys that a verifier pins, and when each key counted as plan `_keys` tells.
#[derive(Clone, Debug)]
pub struct Trust {
    pub(super) origin: String,
    pub(super) keyring: Keyring,
    /// By the log. What the keyring pins narrows it further.
    windows: BTreeMap<KeyId, Window>,
    tree_size: u64,
}

impl Trust {
    /// What to believe of a deployment. An `origin` that comes from outside is checked by [`crate::event::is_origin`] first: no
    /// event is of one that breaks the rule.
    ///
    /// `keys` are the records of its plan `_keys` by seq; what of them is not sealed by a trusted key within its window is
    /// passed over here, and found by a [`super::ChainCheck`] of that plan. `tree_size` is the number of leaves in the log: an
    /// event without a leaf counts as standing there.
    pub fn new<'r>(
        origin: &str,
        keyring: Keyring,
        keys: impl IntoIterator<Item = &'r Record>,
        tree_size: u64,
    ) -> Trust {
        let mut trust = Trust { origin: origin.to_owned(), keyring, windows: BTreeMap::new(), tree_size };
        for record in keys {
            if let Some(index) = index_of_key_event(record)
                && let Some(payload) = trust.sealed_payload(record)
            {
                trust.learn(record, index, &payload);
            }
        }
        trust
    }

    /// Whether events under the key count at this place of the log; without a place, at the tree's end.
    pub(super) fn counts(&self, kid: &KeyId, index: Option<u64>) -> Result<(), Verdict> {
        let pinned = self.keyring.pinned(kid).ok_or(Verdict::UntrustedKey)?;
        let window = self.windows.get(kid).ok_or(Verdict::KeyWindow)?.narrowed(pinned);
        if window.contains(index.unwrap_or(self.tree_size)) { Ok(()) } else { Err(Verdict::KeyWindow) }
    }

    /// The payload of a record of `_keys`, if it is what a trusted key sealed.
    fn sealed_payload(&self, record: &Record) -> Option<Value> {
        let header = &record.header;
        let whose = (header.origin.as_str(), header.tenant.as_str(), header.plan.as_str());
        if whose != (&self.origin, Tenant::system().as_str(), Plan::keys().as_str()) || header.validate().is_err() {
            return None;
        }
        let event_hash = header.hash();
        self.keyring.check(header, &event_hash, &record.mac, &record.sig).ok()?;
        let payload = record.payload.as_deref()?;
        if event_hash != record.event_hash || !canonical::stored_matches(payload, &header.payload_hash) {
            return None;
        }
        serde_json::from_str(payload).ok()
    }

    fn learn(&mut self, record: &Record, index: u64, payload: &Value) {
        let by = &record.header.kid;
        let first = record.header.seq == 1;
        if !first && self.counts(by, Some(index)).is_err() {
            return;
        }
        match record.header.event_type.as_str() {
            "key.added" => {
                let added = self.keyring.added(&self.origin, payload, by);
                if let Some(kid) = added.filter(|kid| !first || kid == by) {
                    self.windows.entry(kid).or_insert(Window { from: index, until: None });
                }
            }
            "key.retired" | "key.revoked" => {
                let kid = payload["kid"].as_str().map(KeyId::new);
                let window = kid.and_then(|kid| self.windows.get_mut(&kid));
                if let (Some(window), Some(until)) = (window, payload["until"].as_u64()) {
                    // One that reaches back counts from its own leaf: otherwise a key's holder could disown its past.
                    *window = window.narrowed(Window { from: 0, until: Some(until.max(index)) });
                }
            }
            _ => {}
        }
    }
}

/// Where a record of `_keys` counts from: its leaf, without which it counts for nothing yet. The plan's first is leaf 0 by
/// definition, sealed already or not.
fn index_of_key_event(record: &Record) -> Option<u64> {
    if record.header.seq == 1 { Some(0) } else { record.log_index }
}
