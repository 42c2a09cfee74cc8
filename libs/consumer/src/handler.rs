//! Handlers: the code that a user of this crate writes for the events of a subscription.
//!
//! A handler whose effect is in the ledger's Postgres joins the transaction that moves the position, so that its effect
//! happens once per event. Any other handler runs at least once per event, and uses the event's idempotency key to make
//! a repetition harmless.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sealbus_core::error_chain;
use sealbus_core::event::Record;
use sealbus_ledger::was_left_idle;
use sqlx::PgConnection;

/// A handler, by where its effect goes.
#[derive(Clone)]
pub enum Handler {
    /// The effect is in the ledger's Postgres and commits with the position: once per event.
    InLedger(Arc<dyn LedgerEffect>),
    /// The effect is anywhere else: at least once per event.
    External(Arc<dyn ExternalEffect>),
}

impl Handler {
    /// Returns the most events that the handler takes in one call, at least 1.
    pub(crate) fn max_batch(&self) -> usize {
        match self {
            Self::InLedger(effect) => effect.max_batch().max(1),
            Self::External(effect) => effect.max_batch().max(1),
        }
    }
}

/// An effect in the ledger's Postgres.
#[async_trait]
pub trait LedgerEffect: Send + Sync + 'static {
    /// Returns the most events that one call takes, by default 1.
    ///
    /// When a call with several events fails, the runtime repeats it event by event to find the one that fails.
    fn max_batch(&self) -> usize {
        1
    }

    /// Applies events within `transaction`, which moves their positions afterwards.
    ///
    /// The events may belong to several plans; those of one plan are in order. The handler must not commit or roll
    /// back. It must return the error of a failed statement, as `sqlx` gave it: the runtime checks the transaction before
    /// it commits, and counts an error that was ignored as a failure. The handler should not leave the transaction idle:
    /// the ledger's roles end a session that is idle in a transaction for 5 seconds. An error or a panic rolls everything
    /// back and counts as an attempt, and so do a session that was ended and a deferred constraint that does not hold.
    ///
    /// Postgres ends a statement that waits for a lock for four fifths of the handler timeout, or runs for nine tenths of
    /// it. In a transaction of several events a statement waits at most 1 second for a lock; its events then go alone, and
    /// no attempt counts.
    async fn apply(&self, batch: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError>;
}

/// An effect outside of the ledger's Postgres.
#[async_trait]
pub trait ExternalEffect: Send + Sync + 'static {
    /// Returns the most events that one call takes, as [`LedgerEffect::max_batch`] does.
    fn max_batch(&self) -> usize {
        1
    }

    /// Applies events of one plan, in order.
    ///
    /// An event may be passed again although it took effect: after a crash between the effect and the move of the
    /// position, after an error, or by a process that was paused and does not know yet that another process has taken
    /// over. [`Delivery::key`] is the same every time. A target that remembers the highest [`Delivery::epoch`] can
    /// reject a call from a process that lost its lease.
    ///
    /// The handler must return an error of `sqlx` as it is. A call that lost a lock, or found no free connection in its pool,
    /// is repeated after a pause, and counts as an attempt only after four fifths of the handler timeout. The handler should
    /// therefore wait for locks for a short time only, and give its connection back before it returns.
    async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError>;
}

/// The reason why a handler could not apply its events. It is stored with the attempt and shown to operators.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct HandlerError {
    reason: String,
    cause: Cause,
}

/// What happened to a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The handler returned an error, or panicked.
    Returned,
    /// The call lost against other transactions, so that it may succeed alone or later: a statement waited too long for a lock,
    /// one of several transactions had to give up, or no connection was free in time.
    Contention,
    /// The call took too long, or left its transaction idle for so long that the server ended the session. The connection
    /// cannot be used any more.
    TimedOut,
}

impl HandlerError {
    /// Returns an error with a reason in plain text.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: Cause::Returned }
    }

    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let cause = match code.as_deref() {
            _ if was_left_idle(&error) => Cause::TimedOut,
            _ if matches!(error, sqlx::Error::PoolTimedOut) => Cause::Contention,
            // A lock that was not available in time, a deadlock, a serialization failure.
            Some("55P03" | "40P01" | "40001") => Cause::Contention,
            _ => Cause::Returned,
        };
        Self { reason: error_chain(&error), cause }
    }
}

impl From<std::io::Error> for HandlerError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error_chain(&error))
    }
}

/// One event that is passed to a handler. Its seal, its seq and its link to the previous event have been checked.
#[derive(Clone)]
pub struct Delivery {
    /// The event.
    pub record: Arc<Record>,
    /// The fencing token, which rises whenever another process takes over. It is not part of the key.
    pub epoch: i64,
    pub(crate) subscription: Arc<str>,
}

impl Delivery {
    /// Returns the idempotency key (subscription, tenant, plan, seq). It is the same at every delivery of the event.
    pub fn key(&self) -> IdempotencyKey<'_> {
        let header = &self.record.header;
        IdempotencyKey { subscription: &self.subscription, tenant: &header.tenant, plan: &header.plan, seq: header.seq }
    }
}

/// Names the effect of one event for one subscription. `Display` writes `subscription/tenant/plan/seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey<'a> {
    /// The subscription.
    pub subscription: &'a str,
    /// The plan's tenant.
    pub tenant: &'a str,
    /// The plan.
    pub plan: &'a str,
    /// The event's seq in the plan.
    pub seq: u64,
}

impl fmt::Display for IdempotencyKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.subscription, self.tenant, self.plan, self.seq)
    }
}
