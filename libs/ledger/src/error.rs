//! Why the ledger did not do what was asked.

use crate::keys::KeyRefused;

/// Every way in which a call to the ledger can fail for reasons that are not the caller's.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database did not answer, or broke off: nothing is known about the last statement.
    #[error("the ledger's database is away: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// The database refused a statement.
    #[error("the ledger's database refused a statement: {0}")]
    Sql(#[source] sqlx::Error),
    /// A migration failed or is not known to this program.
    #[error("migrations could not be applied: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The schema is there, the first row of `deployment` is not.
    #[error("the ledger has not been created yet: run `sealbus migrate` with SEALBUS_ORIGIN and SEALBUS_KEYRING set")]
    NotCreated,
    /// The database was made for another name.
    #[error(
        "the ledger belongs to origin {stored}, and SEALBUS_ORIGIN says {configured}: an origin is fixed for the life of a ledger"
    )]
    OtherOrigin {
        /// The origin in `deployment`.
        stored: String,
        /// The origin in the configuration.
        configured: String,
    },
    /// A name that cannot stand in a header or a checkpoint.
    #[error(
        "SEALBUS_ORIGIN is {0:?}; an origin is 1 to 255 printable ASCII characters without space and +, such as bus.example/eu-1"
    )]
    BadOrigin(String),
    /// Payloads are hashed as UTF-8 text, so no other encoding can hold them.
    #[error("the database's encoding is {0}; Sealbus needs UTF8: create it with ENCODING 'UTF8'")]
    Encoding(String),
    /// The address is not one of a Postgres.
    #[error("the database's address cannot be read: {0}")]
    Address(#[source] sqlx::Error),
    /// A COMMIT came back with a warning: the standbys may not have it.
    #[error("the outcome of a commit is unknown: {0}")]
    UnknownCommit(String),
    /// A stored row cannot be read as an event.
    #[error("event {tenant}/{plan}/{seq} cannot be read: {detail}")]
    Unreadable {
        /// Tenant of the row.
        tenant: String,
        /// Plan of the row.
        plan: String,
        /// Position in the plan.
        seq: i64,
        /// Which column, and why.
        detail: String,
    },
    /// The configuration would let a full load exhaust the server's lock table.
    #[error(
        "{replicas} replicas with {batchers} batchers of {batch} plans can hold {wanted} locks, over half of the server's {available}: \
         lower SEALBUS_MAX_REPLICAS or SEALBUS_MAX_BATCH_PLANS, or raise max_locks_per_transaction"
    )]
    LockTable {
        /// `SEALBUS_MAX_REPLICAS`.
        replicas: u32,
        /// Batchers a replica.
        batchers: u32,
        /// Plans a batch.
        batch: u32,
        /// The product of the three.
        wanted: u64,
        /// `max_locks_per_transaction` × `max_connections`.
        available: u64,
    },
    /// The stored log is not one tree that continues what was anchored.
    #[error("the log is not as it should be, and nothing was sealed: {0}; run `sealbus verify --all`")]
    Log(String),
    /// The keyring cannot begin a ledger.
    #[error("the keyring cannot begin a ledger: {0}")]
    Keyring(String),
    /// The active key may not sign, or not any more.
    #[error(transparent)]
    SigningKey(#[from] KeyRefused),
}

impl LedgerError {
    /// Whether the database is out of reach, rather than of another opinion: asking again later may help.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        if is_unreachable(&error) { Self::Unreachable(error) } else { Self::Sql(error) }
    }
}

/// Whether an error means that the connection is gone (or never came), including a server that is starting or stopping
/// (SQLSTATE class 57P) or out of connections (53300).
pub(crate) fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(database) => {
            database.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "53300")
        }
        _ => false,
    }
}
