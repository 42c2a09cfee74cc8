//! What a verifier believes before it reads the first event of a plan.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use crate::canonical;
use crate::envelope::Envelope;
use crate::event::{Record, plain_uuid};
use crate::names::{Plan, Tenant};
use crate::seal::{KeyId, Keyring, Window};
use crate::timestamp::Timestamp;
use crate::verify::Verdict;

/// The origin and the keys that a verifier pins, and what has to be known of all plans before one of them is judged: when each
/// key counted, as plan `_keys` tells; which data keys were erased, as the plans `_erasures` tell; how late the log goes.
#[derive(Clone, Debug)]
pub struct Trust {
    pub(super) origin: String,
    pub(super) keyring: Keyring,
    /// By the log. What the keyring pins narrows it further.
    windows: BTreeMap<KeyId, Window>,
    tree_size: u64,
    /// By tenant.
    erased: HashMap<String, HashSet<Uuid>>,
    /// The latest `recorded` of an event that has a leaf.
    pub(super) latest_sealed: Option<Timestamp>,
}

impl Trust {
    /// What to believe of a deployment. An `origin` that comes from outside is checked by [`crate::event::is_origin`] first: no
    /// event is of one that breaks the rule.
    ///
    /// `keys` are the records of its plan `_keys` by seq; what of them is not sealed by a trusted key within its window is
    /// passed over here, and found by a [`super::ChainCheck`] of that plan. `tree_size` is the number of leaves in the log: an
    /// event without a leaf counts as standing there.
    pub fn new<'r>(origin: &str, keyring: Keyring, keys: impl IntoIterator<Item = &'r Record>, tree_size: u64) -> Self {
        let mut trust = Self {
            origin: origin.to_owned(),
            keyring,
            windows: BTreeMap::new(),
            tree_size,
            erased: HashMap::new(),
            latest_sealed: None,
        };
        keys.into_iter().for_each(|record| trust.survey(record));
        trust
    }

    /// Looks at a record before any is judged. The records of a plan come by seq; those that are no use are passed over, so
    /// that all of a bundle can come. Enough of a ledger are plan `_keys`, the plans `_erasures`, and the event that has a leaf
    /// and was recorded last.
    ///
    /// As with keys, an erasure counts once it is sealed by a pinned key. Whether it stands in the log, its own check tells.
    pub fn survey(&mut self, record: &Record) {
        let Record { header, log_index, .. } = record;
        if log_index.is_some() && header.validate().is_ok() {
            self.latest_sealed = self.latest_sealed.max(Some(header.recorded));
        }
        if (header.tenant.as_str(), header.plan.as_str()) == (Tenant::system().as_str(), Plan::keys().as_str()) {
            if let Some(index) = index_of_key_event(record)
                && let Some(payload) = self.sealed_payload(record)
            {
                self.learn(record, index, &payload);
            }
        } else if header.plan == Plan::erasures().as_str()
            && header.event_type == "subject.erased"
            && log_index.is_some()
        {
            let payload = self.sealed_payload(record).unwrap_or_default();
            let keys = payload["keys"].as_array().into_iter().flatten();
            for key_id in keys.filter_map(Value::as_str).filter_map(plain_uuid) {
                self.erase(&header.tenant, key_id);
            }
        }
    }

    /// Takes it from elsewhere that a data key was erased.
    pub fn erase(&mut self, tenant: &str, key_id: Uuid) {
        self.erased.entry(tenant.to_owned()).or_default().insert(key_id);
    }

    /// Whether an event says that the data key was destroyed under which the record's payload is encrypted.
    pub fn has_erased(&self, record: &Record) -> bool {
        let Some(erased) = self.erased.get(&record.header.tenant) else { return false };
        let envelope = Envelope::stored(record).ok().flatten();
        envelope.is_some_and(|envelope| erased.contains(&envelope.key_id()))
    }

    /// For which indexes of the log the key counts: what plan `_keys` tells, narrowed by what the keyring pins. `None` where the
    /// keyring lacks the key, or no event adds it: then it counts nowhere.
    pub fn window(&self, kid: &KeyId) -> Option<Window> {
        Some(self.windows.get(kid)?.narrowed(self.keyring.pinned(kid)?))
    }

    /// Whether events under the key count at this place of the log; without a place, at the tree's end.
    pub(super) fn counts(&self, kid: &KeyId, index: Option<u64>) -> Result<(), Verdict> {
        let pinned = self.keyring.pinned(kid).ok_or(Verdict::UntrustedKey)?;
        let window = self.windows.get(kid).ok_or(Verdict::KeyWindow)?.narrowed(pinned);
        if window.contains(index.unwrap_or(self.tree_size)) { Ok(()) } else { Err(Verdict::KeyWindow) }
    }

    /// The payload of a record, if it is what a pinned key sealed.
    fn sealed_payload(&self, record: &Record) -> Option<Value> {
        let header = &record.header;
        if header.origin != self.origin || header.validate().is_err() {
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
                if let Some(window) = window {
                    // One that reaches back counts from its own leaf: otherwise a key's holder could disown its past.
                    let until = payload["until"].as_u64().unwrap_or(0).max(index);
                    *window = window.narrowed(Window { from: 0, until: Some(until) });
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
