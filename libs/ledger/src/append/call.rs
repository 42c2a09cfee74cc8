//! The arguments and the results of an append.

use std::collections::HashSet;
use std::sync::Arc;

use sealbus_core::event::{FormatError, Record};
use sealbus_core::names::{Plan, Tenant};
pub use sealbus_core::request::{Draft, UnderKey};
use sealbus_core::seal::KeyId;
use uuid::Uuid;

use super::signing::KeyRefused;
use crate::LedgerError;

/// The highest number of events in one call.
pub const MAX_EVENTS: usize = 1_000;

/// Bytes of a large event that take about as long to append as a small event (`docs/benchmarks.md`, under pressure).
const BYTES_OF_COST: usize = 1_024;

/// The head that the caller expects the plan to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Any head, or none.
    Any,
    /// No event yet.
    Empty,
    /// An event with this seq.
    Head(u64),
}

/// Events for one plan, which are appended together or not at all.
#[derive(Debug, Clone)]
pub struct Call {
    /// The tenant of the plan.
    pub tenant: Tenant,
    /// The plan.
    pub plan: Plan,
    /// The head that the plan must have. It is not compared if all events of the call are stored already.
    pub expect: Expect,
    /// 1 to [`MAX_EVENTS`] events, in the order in which they are appended.
    pub events: Vec<Draft>,
}

impl Call {
    /// Returns what the call takes of a batch: 1 for each event, and for a large one its size in KiB.
    pub(super) fn cost(&self) -> usize {
        let bytes = |draft: &Draft| draft.payload.as_ref().map_or(0, String::len) + draft.metadata.len();
        self.events.iter().map(|draft| (bytes(draft) / BYTES_OF_COST).max(1)).sum()
    }

    /// Checks what can be checked without the database: the number of events, and that no id is used twice.
    pub(super) fn check(&self) -> Result<(), AppendError> {
        if self.events.is_empty() || self.events.len() > MAX_EVENTS {
            return Err(AppendError::EventCount(self.events.len()));
        }
        let mut seen = HashSet::with_capacity(self.events.len());
        match self.events.iter().find(|draft| !seen.insert(draft.event_id)) {
            Some(duplicate) => Err(AppendError::DuplicateId(duplicate.event_id)),
            None => Ok(()),
        }
    }
}

/// An event of a successful call.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The event as it is stored.
    pub record: Arc<Record>,
    /// Whether this call stored the event. Otherwise an earlier call with the same id and content did.
    pub new: bool,
}

/// A committed event, offered to the relay so that the relay need not wait for its next sweep.
#[derive(Debug, Clone)]
pub struct Hint {
    /// The event's row in the outbox.
    pub outbox_id: i64,
    /// The partition of the event's plan.
    pub partition: u32,
    /// The event.
    pub record: Arc<Record>,
}

/// Reasons why no event of a call was appended. After [`AppendError::Unavailable`] the outcome can be unknown.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The call has no event, or more than [`MAX_EVENTS`].
    #[error("a call has 1 to {MAX_EVENTS} events, not {0}")]
    EventCount(usize),
    /// The call contains this id twice.
    #[error("event id {0} appears twice in one call")]
    DuplicateId(Uuid),
    /// The tenant has an event with this id and another content, or in another plan.
    #[error("event id {0} is already stored with different content")]
    IdConflict(Uuid),
    /// The plan's head is not the expected one, but has this seq; 0 for an empty plan.
    #[error("the plan's head is {0}")]
    HeadMismatch(u64),
    /// The plan's last event is signed with Ed25519, and this key, which is active, is a MAC key.
    #[error(
        "the plan is sealed with Ed25519 and the active key {0} is a MAC key, which would weaken the plan; make an Ed25519 \
         key active"
    )]
    SuiteDowngrade(KeyId),
    /// The database does not let the active key sign.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// This data key of the call is erased or being erased. The caller has to encrypt the event again, under a current key.
    #[error("data key {0} is erased or being erased")]
    DataKeyErased(Uuid),
    /// A field of an event is outside the limits of the seal. The caller should have checked it.
    #[error("the event cannot be sealed: {0}")]
    Invalid(FormatError),
    /// This plan carries scheme v1, and the keyring has no v1 key.
    #[error("plan {0} carries scheme v1 and the keyring has no v1 key")]
    NoV1Key(String),
    /// The plan carries scheme v1, which cannot sign the event.
    #[error("scheme v1 cannot sign the event: {0}")]
    V1(FormatError),
    /// The database has a history that nobody has confirmed ([`LedgerError::OtherHistory`]). Nothing was stored.
    #[error("appends are refused after a failover")]
    OtherHistory(#[source] Arc<LedgerError>),
    /// The database failed. The events may be stored: the caller finds out by sending the same ids again.
    #[error("ledger unavailable")]
    Unavailable(#[source] Arc<LedgerError>),
    /// The batcher ended before it answered. The events may be stored.
    #[error("the batcher stopped before it answered")]
    Stopped,
}

impl From<LedgerError> for AppendError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::SigningKey(refused) => refused.into(),
            error @ LedgerError::OtherHistory { .. } => Self::OtherHistory(Arc::new(error)),
            error => Self::Unavailable(Arc::new(error)),
        }
    }
}
