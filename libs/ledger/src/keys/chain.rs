//! Plan `_keys`: what it tells of each key, and the events that are appended to it.

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

/// Events of plan `_keys` that are read; there is one for each change of a key.
const LONGEST: u32 = 100_000;

/// Plan `_keys` as it stood when it was read.
pub struct KeyChain {
    trust: Trust,
    head: u64,
    size: u64,
    histories: BTreeMap<KeyId, KeyHistory>,
}

/// What the events of plan `_keys` say of a key, whether they are to be believed or not: that is [`KeyChain::window`]'s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyHistory {
    /// By the first event that adds it.
    pub added: Option<KeyEvent>,
    /// By the first event that retires it.
    pub retired: Option<KeyEvent>,
    /// By the first event that revokes it.
    pub revoked: Option<KeyEvent>,
}

/// An event of plan `_keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEvent {
    /// Its place in the plan.
    pub seq: u64,
    /// Its leaf in the log; none until it is sealed.
    pub index: Option<u64>,
}

/// A change of a key, to be appended.
#[derive(Clone, Copy)]
pub enum KeyChange<'k> {
    /// This key begins, as it proves itself.
    Added(&'k Signer),
    /// The key ends, before this log index or the event's own, whichever is later.
    Retired(&'k KeyId, u64),
    /// The key ends likewise, and why.
    Revoked(&'k KeyId, u64, &'k str),
}

impl KeyChain {
    /// For which indexes of the log the key counts, by the verifier's rules; none where it counts nowhere.
    pub fn window(&self, kid: &KeyId) -> Option<Window> {
        self.trust.window(kid)
    }

    /// What is said of each key that is named.
    pub fn histories(&self) -> &BTreeMap<KeyId, KeyHistory> {
        &self.histories
    }

    /// What is said of a key.
    pub fn history(&self, kid: &KeyId) -> KeyHistory {
        self.histories.get(kid).cloned().unwrap_or_default()
    }

    /// Leaves in the log, when the plan was read.
    pub fn log_size(&self) -> u64 {
        self.size
    }
}

impl Keys<'_> {
    /// Reads plan `_keys`, as a verifier with this keyring understands it.
    pub async fn chain(self, keyring: &Keyring) -> Result<KeyChain, LedgerError> {
        let records = self.key_records().await?;
        // After the records: no leaf of theirs lies beyond.
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

    async fn key_records(self) -> Result<Vec<Record>, LedgerError> {
        let plan_no = self.ledger.history().plan_no(Tenant::system().as_str(), Plan::keys().as_str()).await?;
        match plan_no {
            Some(plan_no) => self.ledger.history().range(plan_no, 1, i64::MAX.unsigned_abs(), LONGEST).await,
            None => Ok(Vec::new()),
        }
    }

    /// Appends a change to plan `_keys`, next after the chain as it was read: who changed it meanwhile makes this fail with
    /// [`AppendError::HeadMismatch`], and the chain has to be read again.
    pub async fn append(
        self,
        appender: &Appender,
        chain: &KeyChain,
        event: KeyChange<'_>,
        actor: &str,
    ) -> Result<Arc<Record>, AppendError> {
        let origin = &self.ledger.deployment().origin;
        let (event_type, payload) = match event {
            KeyChange::Added(signer) => ("key.added", signer.key_added(origin, appender.kid())),
            KeyChange::Retired(kid, until) => ("key.retired", canonical::write(&json!({ "kid": kid, "until": until }))),
            KeyChange::Revoked(kid, until, reason) => {
                ("key.revoked", canonical::write(&json!({ "kid": kid, "until": until, "reason": reason })))
            }
        };
        let call = Call {
            tenant: Tenant::system(),
            plan: Plan::keys(),
            expect: Expect::Head(chain.head),
            events: vec![own_event(origin, event_type, actor, payload)],
        };
        let stored = appender.append(call).await?;
        Ok(stored[0].record.clone())
    }
}
