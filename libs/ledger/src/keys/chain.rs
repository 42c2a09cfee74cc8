//! Plan `_keys`: the history of each key, and the events that are appended to the plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealbus_core::canonical;
use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::{KeyId, Keyring, Signer, Window};
use sealbus_core::verify::Trust;
use serde_json::{Value, json};

use super::Keys;
use crate::LedgerError;
use crate::append::{AppendError, Appender, Call, Expect};
use crate::own_event::own_event;

/// The highest number of events of plan `_keys` that are read. There is one for each change of a key.
const MAX_KEY_EVENTS: usize = 100_000;
/// The highest number of events that one query reads.
const KEY_EVENTS_PER_QUERY: u32 = 1_000;

/// Plan `_keys`, as it was when it was read.
pub struct KeyChain {
    trust: Trust,
    head: u64,
    size: u64,
    histories: BTreeMap<KeyId, KeyHistory>,
}

/// The events of plan `_keys` that name a key, whether they count or not. [`KeyChain::window`] tells which count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyHistory {
    /// The first event that adds the key.
    pub added: Option<KeyEvent>,
    /// The first event that retires the key.
    pub retired: Option<KeyEvent>,
    /// The first event that revokes the key.
    pub revoked: Option<KeyEvent>,
}

/// An event of plan `_keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEvent {
    /// The seq of the event.
    pub seq: u64,
    /// The log index of the event; `None` until the event is sealed.
    pub index: Option<u64>,
}

/// A change of a key that is to be appended.
#[derive(Clone, Copy)]
pub enum KeyChange<'k> {
    /// The key is added. Its signer makes the proof that the event contains.
    Added(&'k Signer),
    /// The key ends before this log index, or before the index of the event itself if that is higher.
    Retired(&'k KeyId, u64),
    /// The key ends in the same way, for this reason.
    Revoked(&'k KeyId, u64, &'k str),
}

impl KeyChain {
    /// Returns the log indexes for which the key counts, by the rules of verification; `None` if it counts for none.
    pub fn window(&self, kid: &KeyId) -> Option<Window> {
        self.trust.window(kid)
    }

    /// Returns the histories of all keys that the plan names.
    pub fn histories(&self) -> &BTreeMap<KeyId, KeyHistory> {
        &self.histories
    }

    /// Returns the history of a key; an empty one if the plan does not name the key.
    pub fn history(&self, kid: &KeyId) -> KeyHistory {
        self.histories.get(kid).cloned().unwrap_or_default()
    }

    /// Returns the number of leaves in the log when the plan was read.
    pub fn log_size(&self) -> u64 {
        self.size
    }
}

impl Keys<'_> {
    /// Reads plan `_keys`, as a verifier with this keyring interprets it.
    pub async fn chain(self, keyring: &Keyring) -> Result<KeyChain, LedgerError> {
        let history = self.ledger.history();
        let mut records: Vec<Record> = Vec::new();
        if let Some(plan_no) = history.plan_no(Tenant::system().as_str(), Plan::keys().as_str()).await? {
            while records.len() < MAX_KEY_EVENTS {
                let next = records.last().map_or(1, |last| last.header.seq.saturating_add(1));
                let read = history.range(plan_no, next, u64::MAX, KEY_EVENTS_PER_QUERY).await?;
                if read.is_empty() {
                    break;
                }
                records.extend(read);
            }
        }
        // Read after the records, so that every leaf of theirs is below it.
        let size = self.ledger.log().size().await?;
        let trust = Trust::new(&self.ledger.deployment().origin, keyring.clone(), &records, size);
        let head = records.last().map_or(0, |record| record.header.seq);
        let mut histories = BTreeMap::<KeyId, KeyHistory>::new();
        for record in &records {
            let payload = record.payload.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
            let Some(kid) = payload.as_ref().and_then(|payload| payload["kid"].as_str()) else { continue };
            let history = histories.entry(KeyId::new(kid)).or_default();
            let place = match record.header.event_type.as_str() {
                "key.added" => &mut history.added,
                "key.retired" => &mut history.retired,
                "key.revoked" => &mut history.revoked,
                _ => continue,
            };
            place.get_or_insert(KeyEvent { seq: record.header.seq, index: record.log_index });
        }
        Ok(KeyChain { trust, head, size, histories })
    }

    /// Appends a change to plan `_keys`, directly after the chain as it was read. Returns the record.
    ///
    /// # Errors
    /// [`AppendError::HeadMismatch`] if the plan was changed in the meantime; the chain has to be read again.
    pub async fn append(
        self,
        appender: &Appender,
        chain: &KeyChain,
        change: KeyChange<'_>,
        actor: &str,
    ) -> Result<Arc<Record>, AppendError> {
        let origin = &self.ledger.deployment().origin;
        let (event_type, payload) = match change {
            KeyChange::Added(signer) => ("key.added", signer.key_added(origin, appender.kid())),
            KeyChange::Retired(kid, until) => ("key.retired", canonical::write(&json!({ "kid": kid, "until": until }))),
            KeyChange::Revoked(kid, until, reason) => {
                ("key.revoked", canonical::write(&json!({ "kid": kid, "until": until, "reason": reason })))
            }
        };
        let events = vec![own_event(origin, event_type, actor, payload)];
        let call = Call { tenant: Tenant::system(), plan: Plan::keys(), expect: Expect::Head(chain.head), events };
        Ok(appender.append(call).await?[0].record.clone())
    }
}
