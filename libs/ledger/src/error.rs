//! The errors of an open ledger, and those of creating, configuring and opening one.
//!
//! No error prints its source: who reports an error prints the chain of its sources once.

use sealbus_core::seal::KeyringError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::append::{AppendError, KeyRefused};
use crate::server_history::ServerHistory;

/// A failed operation on an open ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database cannot be reached, or the connection broke. Whether the last statement took effect is unknown.
    #[error("database unreachable")]
    Unreachable(#[source] sqlx::Error),
    /// The database rejected a statement. The statement had no effect.
    #[error("database rejected a statement")]
    Rejected(#[source] sqlx::Error),
    /// A stored value is not of its form. A newer release of Sealbus may have written it, or it was changed by hand.
    #[error("{table}.{column}{} is invalid: {reason}", .row.map(|row| format!(" of row {row}")).unwrap_or_default())]
    Corrupt {
        /// The table, or the statement or function, whose result is invalid.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The number that identifies the row in its table, where it is known.
        row: Option<i64>,
        /// The fault of the value.
        reason: String,
    },
    /// A number of the caller is larger than its column can hold. Nothing was written.
    #[error("{value} does not fit into {table}.{column}")]
    OutOfRange {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The number.
        value: String,
    },
    /// A commit ended with this warning: a standby may lack the transaction.
    #[error("outcome of a commit is unknown: {0}")]
    OutcomeUnknown(String),
    /// The database server has another history than those that were confirmed: it took over in a failover, or it was restored.
    /// It may lack events that were acknowledged. Nothing was appended or signed.
    #[error(
        "the database has a history that nobody has confirmed ({}; the last confirmed one is {}): acknowledged events may be \
         missing. Find out whether they are (docs/operations/failover.md), then allow appends with `sealbus failover confirm`",
        .current,
        .confirmed.as_ref().map_or("none".to_owned(), ToString::to_string)
    )]
    OtherHistory {
        /// The history of the server.
        current: ServerHistory,
        /// The history that was confirmed last.
        confirmed: Option<ServerHistory>,
    },
    /// A stored event is not of its form.
    #[error("event {tenant}/{plan}/{seq} is invalid: {detail}")]
    Unreadable {
        /// Tenant of the row.
        tenant: String,
        /// Plan of the row.
        plan: String,
        /// Position in the plan.
        seq: i64,
        /// The column, and the fault of its value.
        detail: String,
    },
    /// The stored log is not one tree that continues what was anchored, or it cannot be signed. Nothing was sealed or signed.
    #[error("{0}")]
    Log(String),
    /// The database does not let a key sign. Nothing was appended.
    #[error(transparent)]
    SigningKey(#[from] KeyRefused),
}

impl LedgerError {
    /// Returns whether the database is unreachable, so that a retry may help.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        if is_unreachable(&error) { Self::Unreachable(error) } else { Self::Rejected(error) }
    }
}

/// The SQLSTATE of a server that refuses to write, because it is a standby or became one.
const READ_ONLY: &str = "25006";
/// The SQLSTATE of a session that the server ended because its transaction was idle for too long.
const IDLE_IN_TRANSACTION: &str = "25P03";

/// Returns whether the server ended the session because its transaction was idle for too long.
pub fn was_left_idle(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(IDLE_IN_TRANSACTION)
}

/// Returns whether the server refused a statement and keeps the session. An error of the server itself, such as a shutdown, has
/// another severity, whatever its SQLSTATE.
pub fn is_of_statement(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| error.severity() == PgSeverity::Error)
}

/// Returns whether there is no usable connection. That includes a server that is starting or stopping (SQLSTATE class 57P),
/// one that is out of connections (53300), a standby, and a session that the server has ended.
pub(crate) fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(database) => {
            let is_outage = |code: &str| {
                code.starts_with("57P")
                    || code.starts_with("08")
                    || ["53300", READ_ONLY, IDLE_IN_TRANSACTION].contains(&code)
            };
            database.code().is_some_and(|code| is_outage(&code))
        }
        _ => false,
    }
}

/// A ledger that cannot be created, configured or opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not that of a Postgres database.
    #[error("invalid database address")]
    Address(#[source] sqlx::Error),
    /// The database's encoding is not UTF8. Payloads are hashed as UTF-8 text, so no other encoding can hold them.
    #[error("the database's encoding is {0}, not UTF8; create the database with ENCODING 'UTF8'")]
    Encoding(String),
    /// A migration failed, or the database has one that this program does not know.
    #[error("migrations could not be applied")]
    Migration(#[source] MigrateError),
    /// The database has no ledger: table `deployment` has no row, or does not exist.
    #[error("the ledger does not exist yet; run `sealbus migrate`")]
    NotCreated,
    /// The ledger belongs to another origin. An origin is fixed for the life of a ledger.
    #[error("the ledger belongs to origin {stored}, not to {configured}; the origin of a ledger cannot be changed")]
    OtherOrigin {
        /// The origin in table `deployment`.
        stored: String,
        /// The origin that is configured.
        configured: String,
    },
    /// The name is not a valid origin: it cannot be part of a header or a checkpoint.
    #[error(
        "{0:?} is not an origin; an origin has 1 to 255 printable ASCII characters other than space and +, for example \
         bus.example/eu-1"
    )]
    BadOrigin(String),
    /// All replicas under full load could take more than half of the server's lock table.
    #[error(
        "{replicas} replicas with {batchers} batchers of {batch_plans} plans can take {wanted} locks, more than half of the \
         server's {available}; lower the number of replicas or of plans in a batch, or raise max_locks_per_transaction"
    )]
    LockTable {
        /// The highest number of replicas.
        replicas: u32,
        /// Batchers of a replica.
        batchers: usize,
        /// Plans in a batch.
        batch_plans: usize,
        /// The product of the three.
        wanted: u64,
        /// `max_locks_per_transaction` × `max_connections`.
        available: u64,
    },
    /// The keyring has no usable active key.
    #[error("the keyring cannot sign events")]
    Keyring(#[source] KeyringError),
    /// Tenants are set to carry scheme v1, and the keyring cannot sign it.
    #[error("the keyring has no v1 key, which tenants that carry scheme v1 need")]
    NoV1Key,
    /// The first event of a new ledger could not be sealed.
    #[error("the first event of the ledger could not be sealed")]
    FirstEvent(#[source] AppendError),
    /// The database could not be reached or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl OpenError {
    /// Returns whether the database is unreachable, so that a retry may help.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_unreachable())
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}
