//! What a caller asks of the ledger, and what it gets back.

use std::collections::HashSet;
use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
pub use sealbus_core::request::{Draft, UnderKey};
use uuid::Uuid;

use crate::LedgerError;
use crate::keys::KeyRefused;

/// Events in one call, at most.
pub const MAX_EVENTS: usize = 1_000;

/// What the caller expects the plan's head to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// No event yet.
    Empty,
    /// This seq.
    Head(u64),
}

/// Events for one plan, appended together or not at all.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose plan.
    pub tenant: Tenant,
    /// Which plan.
    pub plan: Plan,
    /// What its head should be.
    pub expect: Expect,
    /// 1 to [`MAX_EVENTS`] events in order.
    pub events: Vec<Draft>,
}

impl Call {
    /// What can be said without the database.
    pub(super) fn check(&self) -> Result<(), AppendError> {
        if self.events.is_empty() || self.events.len() > MAX_EVENTS {
            return Err(AppendError::EventCount(self.events.len()));
        }
        let mut seen = HashSet::with_capacity(self.events.len());
        match self.events.iter().find(|draft| !seen.insert(draft.event_id)) {
            Some(twice) => Err(AppendError::DuplicateId { event_id: twice.event_id }),
            None => Ok(()),
        }
    }

    /// The ids of the call's events, in order.
    pub fn ids(&self) -> Vec<Uuid> {
        self.events.iter().map(|draft| draft.event_id).collect()
    }
}

/// One event of an answered call.
#[derive(Debug, Clone)]
pub struct Appended {
    /// As stored.
    pub record: Arc<Record>,
    /// Whether this call stored it, rather than an earlier one with the same id and content.
    pub new: bool,
}

/// A committed event, offered to the relay so that it need not wait for its sweep.
#[derive(Debug, Clone)]
pub struct Hint {
    /// The event's row in the outbox.
    pub outbox_id: i64,
    /// The partition of its plan.
    pub partition: u32,
    /// The event.
    pub record: Arc<Record>,
}

/// Why nothing of a call was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A call has 1 to [`MAX_EVENTS`] events.
    #[error("a call holds 1 to {MAX_EVENTS} events, not {0}")]
    EventCount(usize),
    /// One id twice in one call.
    #[error("event id {event_id} stands twice in one call")]
    DuplicateId {
        /// The id.
        event_id: Uuid,
    },
    /// The id is the tenant's already, for something else.
    #[error("event id {event_id} is stored already, with other content")]
    IdConflict {
        /// The id.
        event_id: Uuid,
    },
    /// The plan's head is not what the caller expects.
    #[error("the plan's head is {head}")]
    HeadMismatch {
        /// Its seq; 0 for an empty plan.
        head: u64,
    },
    /// The plan's events are signed with Ed25519 and the active key is a MAC key.
    #[error(
        "the plan is sealed with Ed25519 and the active key {kid} is a MAC key: a plan's suite never falls; make an Ed25519 key active"
    )]
    SuiteDowngrade {
        /// The active key.
        kid: String,
    },
    /// The active key may not sign, or not any more: nothing was stored.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// A data key of the call is gone, or being erased: encrypt anew, under a key that is looked up now.
    #[error("data key {key_id} is being erased")]
    DataKeyErased {
        /// The key.
        key_id: Uuid,
    },
    /// A field that no seal can hold: a fault of the caller, who is to check before.
    #[error("the event cannot be sealed: {detail}")]
    Invalid {
        /// Which field, and its rule.
        detail: String,
    },
    /// Too many events of this tenant wait already.
    #[error("too many events are waiting to be appended")]
    Overloaded,
    /// The database is away, or an outcome is unknown: ask again with the same ids.
    #[error("the ledger is unavailable: {detail}")]
    Unavailable {
        /// What the database said.
        detail: String,
    },
}

/// What ended a batch, in its callers' words.
impl From<LedgerError> for AppendError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::SigningKey(refused) => refused.into(),
            error => Self::Unavailable { detail: error.to_string() },
        }
    }
}
