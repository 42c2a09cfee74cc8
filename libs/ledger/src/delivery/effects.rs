//! Connections and transactions for the effects of handlers, in the ledger's database and in others.
//!
//! A handler runs statements of its own, which may wait for a lock or for a server that does not answer. The server ends such a
//! statement by the limits of the transaction. If it does not, the caller drops the connection, which closes it: a connection
//! with a running statement never goes back to its pool (`docs/spec/protocol.md#consume-3`).

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use crate::{LedgerError, LentConnection};

/// How long Postgres lets a statement of an effect wait and run. Both times are shorter than that of the whole call, so that the
/// server's error, which names the cause, comes before the caller gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectLimits {
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long a statement may run, waiting for locks included.
    pub statement_timeout: Duration,
}

impl EffectLimits {
    /// Returns the limits for a call that may take `limit`: four fifths of it for a lock, nine tenths for a statement.
    pub fn of_call(limit: Duration) -> Self {
        Self { lock_timeout: limit * 4 / 5, statement_timeout: limit * 9 / 10 }
    }
}

impl LentConnection {
    /// Begins a transaction with these limits. It is read committed, which the fence of positions relies on, and fails at once on
    /// a standby.
    pub async fn begin_effect(&mut self, limits: EffectLimits) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        // Postgres reads 0 as "no limit".
        let millis = |limit: Duration| limit.as_millis().max(1);
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}",
            millis(limits.lock_timeout),
            millis(limits.statement_timeout)
        );
        (**self).begin_with(AssertSqlSafe(begin)).await
    }
}

/// Checks all deferred constraints of a transaction now, so that a violation is an error of the effect and not of the commit.
///
/// It also fails in a transaction in which an error was ignored: Postgres would roll such a transaction back at the commit and
/// report success.
pub async fn check_constraints(transaction: &mut PgConnection) -> Result<(), LedgerError> {
    transaction.execute("-- check_constraints\nSET CONSTRAINTS ALL IMMEDIATE").await?;
    Ok(())
}
