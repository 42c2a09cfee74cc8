//! What a user of this crate writes: a handler, and where its effect goes.
//!
//! Where the effect is in the ledger's Postgres, it joins the transaction that moves the position: it takes effect once per
//! event. Elsewhere it takes effect at least once, and has an idempotency key to make that harmless.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sqlx::PgConnection;

use crate::assignment::lease::Lease;

/// A handler, by where its effect goes.
#[derive(Clone)]
pub enum Handler {
    /// Into the ledger's Postgres, with the position: once per event.
    InLedger(Arc<dyn LedgerEffect>),
    /// Anywhere else: at least once per event.
    Elsewhere(Arc<dyn OuterEffect>),
}

impl Handler {
    /// The most events that the handler takes in one call.
    pub(crate) fn longest_run(&self) -> usize {
        let longest = match self {
            Self::InLedger(effect) => effect.longest_run(),
            Self::Elsewhere(effect) => effect.longest_run(),
        };
        longest.max(1)
    }
}

/// An effect in the ledger's Postgres.
#[async_trait]
pub trait LedgerEffect: Send + Sync + 'static {
    /// The most events that one call takes. A call that fails with several is made again one by one.
    fn longest_run(&self) -> usize {
        1
    }

    /// Applies events within `transaction`, which also moves their positions. They may be of several plans, each plan's in
    /// order.
    ///
    /// It must not commit or roll back, and must give back any error of a statement: one that is swallowed is found before
    /// the commit and counts as a failure. It should not leave the transaction idle for seconds: the ledger's roles end
    /// such a session after five. An error, or a panic, undoes all of it and counts as an attempt.
    async fn apply(&self, run: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError>;
}

/// An effect outside of the ledger's Postgres.
#[async_trait]
pub trait OuterEffect: Send + Sync + 'static {
    /// The most events that one call takes. A call that fails with several is made again one by one.
    fn longest_run(&self) -> usize {
        1
    }

    /// Applies events of one plan, in order. It may be called again for events that took effect
    /// already: after a crash between effect and position, after an error, or by a process that was paused and does not
    /// know yet that another has taken over. [`Delivery::key`] is the same each time; [`Delivery::epoch`] rises when
    /// another takes over, so that a target that remembers the highest epoch can refuse the late one.
    async fn apply(&self, run: &[Delivery]) -> Result<(), HandlerError>;
}

/// Why a handler could not apply its events. What is written here is kept with the attempt and shown to an operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandlerError(String);

impl HandlerError {
    /// In the handler's own words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// An error with all its causes.
    pub fn from_error(error: &dyn std::error::Error) -> Self {
        Self(error_chain(error))
    }
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        Self::from_error(&error)
    }
}

impl From<std::io::Error> for HandlerError {
    fn from(error: std::io::Error) -> Self {
        Self::from_error(&error)
    }
}

/// One event on its way into a handler. Its seal, its place and its link to the event before it have been checked.
#[derive(Clone)]
pub struct Delivery {
    /// The event.
    pub record: Arc<Record>,
    pub(crate) subscription: Arc<str>,
    pub(crate) lease: Lease,
}

impl Delivery {
    /// What makes applying the event twice harmless: (subscription, tenant, plan, seq). It never changes.
    pub fn key(&self) -> IdempotencyKey<'_> {
        let header = &self.record.header;
        IdempotencyKey { subscription: &self.subscription, tenant: &header.tenant, plan: &header.plan, seq: header.seq }
    }

    /// Fencing token beside the key, never in it: rises whenever another process takes over.
    pub fn epoch(&self) -> i64 {
        self.lease.epoch()
    }
}

/// Names one effect: an event for a subscription. Written `subscription/tenant/plan/seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey<'a> {
    /// The subscription.
    pub subscription: &'a str,
    /// The plan's tenant.
    pub tenant: &'a str,
    /// The plan.
    pub plan: &'a str,
    /// The event's place in the plan.
    pub seq: u64,
}

impl fmt::Display for IdempotencyKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.subscription, self.tenant, self.plan, self.seq)
    }
}
