//! Pinned origin and keys, and what a first pass over the records adds to them: key windows, erasures, the last sealed
//! time.

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

/// The pinned origin and keys of a verifier, and the facts that have to be known before any event is checked: the
/// windows of keys from plan `_keys`, the erased data keys from the plans `_erasures`, and the time of the last sealed
/// event.
#[derive(Clone, Debug)]
pub struct Trust {
    pub(super) origin: String,
    pub(super) keyring: Keyring,
    /// The windows that plan `_keys` defines. The limits pinned in the keyring narrow them further.
    windows: BTreeMap<KeyId, Window>,
    tree_size: u64,
    /// The erased data keys by tenant, each with the key and the log index of its erasures. Whether these keys count is known only
    /// after all of plan `_keys` was read.
    erased: HashMap<String, HashMap<Uuid, HashSet<(KeyId, u64)>>>,
    /// The latest `recorded` of the events that have a leaf.
    pub(super) latest_sealed: Option<Timestamp>,
}

impl Trust {
    /// Creates the trust in a deployment.
    ///
    /// An `origin` from outside has to be checked with [`crate::event::is_origin`] first, because no event has an
    /// invalid one. `keys` are the records of plan `_keys` by seq. Records that no pinned key sealed within its window
    /// are ignored here; a [`ChainCheck`](super::ChainCheck) of that plan reports them. `tree_size` is the number of
    /// leaves in the log. An event without a leaf counts as if its log index were `tree_size`.
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

    /// Learns from a record before any record is checked. The records of each plan have to come in order of seq.
    ///
    /// Records that add nothing are ignored, so that a caller can pass in a whole bundle. For a ledger, plan `_keys`,
    /// the plans `_erasures` and the sealed event that was recorded last are sufficient.
    ///
    /// An erasure counts once it has a log index and a pinned key sealed it that counts at this index. Whether the log has its
    /// leaf is checked with the erasure event itself.
    pub fn survey(&mut self, record: &Record) {
        let Record { header, log_index, .. } = record;
        if log_index.is_some() && header.validate().is_ok() {
            self.latest_sealed = self.latest_sealed.max(Some(header.recorded));
        }
        if (header.tenant.as_str(), header.plan.as_str()) == (Tenant::system().as_str(), Plan::keys().as_str()) {
            // The first event of the plan is leaf 0 by definition, whether it is sealed yet or not
            // (`docs/spec/integrity.md#keys-first`).
            let index = if header.seq == 1 { Some(0) } else { *log_index };
            if let (Some(index), Some(payload)) = (index, self.sealed_payload(record)) {
                self.apply_key_event(record, index, &payload);
            }
        } else if header.plan == Plan::erasures().as_str()
            && header.event_type == "subject.erased"
            && let Some(index) = *log_index
        {
            // A payload that no pinned key sealed names no keys.
            let payload = self.sealed_payload(record).unwrap_or_default();
            let keys = payload["keys"].as_array().into_iter().flatten();
            let keys = keys.filter_map(Value::as_str).filter_map(plain_uuid);
            let erased = self.erased.entry(header.tenant.clone()).or_default();
            for key in keys {
                erased.entry(key).or_default().insert((header.kid.clone(), index));
            }
        }
    }

    /// Returns whether an erasure names the data key under which the payload of the record is encrypted.
    pub fn has_erased(&self, record: &Record) -> bool {
        let Some(erased) = self.erased.get(&record.header.tenant) else { return false };
        // A malformed envelope names no data key. Check 16 reports it, where payloads are opened.
        let envelope = Envelope::stored(record).ok().flatten();
        let erasures = envelope.and_then(|envelope| erased.get(&envelope.key_id()));
        let counts = |(kid, index): &(KeyId, u64)| self.check_window(kid, Some(*index)).is_ok();
        erasures.is_some_and(|erasures| erasures.iter().any(counts))
    }

    /// Returns the log indexes for which a key counts: the window from plan `_keys`, narrowed by the limits in the
    /// keyring. Returns `None` if the key is not pinned or no event adds it, in which case it counts nowhere.
    pub fn window(&self, kid: &KeyId) -> Option<Window> {
        Some(self.windows.get(kid)?.narrowed(self.keyring.pinned(kid)?))
    }

    /// Checks that a key is pinned and counts at a log index (`docs/spec/integrity.md#verify-7`, `#verify-8`). Without
    /// an index, the size of the tree is taken.
    pub(super) fn check_window(&self, kid: &KeyId, index: Option<u64>) -> Result<(), Verdict> {
        let pinned = self.keyring.pinned(kid).ok_or(Verdict::UntrustedKey)?;
        let window = self.windows.get(kid).ok_or(Verdict::KeyWindow)?.narrowed(pinned);
        if window.contains(index.unwrap_or(self.tree_size)) { Ok(()) } else { Err(Verdict::KeyWindow) }
    }

    /// Checks that a pinned key sealed a record: its fields, its event hash, and its seal. A MAC is not checked if the
    /// verifier lacks the secret.
    pub(super) fn check_seal(&self, record: &Record) -> Result<(), Verdict> {
        let Record { header, event_hash, mac, sig, .. } = record;
        header.validate().map_err(|error| error.verdict())?;
        if header.origin != self.origin || header.hash() != *event_hash {
            return Err(Verdict::EventHash);
        }
        self.keyring.check(header, event_hash, mac, sig).map(|_| ())
    }

    /// Returns the payload of a record as JSON, if a pinned key sealed the record and the payload is intact.
    fn sealed_payload(&self, record: &Record) -> Option<Value> {
        self.check_seal(record).ok()?;
        let payload = record.payload.as_deref()?;
        let is_intact = canonical::stored_matches(payload, &record.header.payload_hash);
        serde_json::from_str(payload).ok().filter(|_| is_intact)
    }

    /// Opens or closes the window of a key as an event of plan `_keys` says (`docs/spec/integrity.md#keys-believed`).
    fn apply_key_event(&mut self, record: &Record, index: u64, payload: &Value) {
        let by = &record.header.kid;
        let first = record.header.seq == 1;
        if !first && self.check_window(by, Some(index)).is_err() {
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
                if let Some(window) = kid.and_then(|kid| self.windows.get_mut(&kid)) {
                    // An end counts from its own leaf at the earliest. Otherwise the owner of a key could disown its
                    // past. An `until` that is absent or not a log index is taken as the event's own leaf.
                    let until = payload["until"].as_u64().unwrap_or(0).max(index);
                    *window = window.narrowed(Window { from: 0, until: Some(until) });
                }
            }
            _ => {}
        }
    }
}
