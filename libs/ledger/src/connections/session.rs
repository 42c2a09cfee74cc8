//! The settings of a session on which the rules of Sealbus rely. Each session sets all of them, whatever the defaults of the
//! role and the database are (`docs/spec/protocol.md#append-session`).

use sqlx::{Executor as _, PgConnection};

/// Sets what a session relies on.
///
/// - `read committed`: appends read the heads of plans after they got the locks; positions are fenced by rows that are read again.
/// - `synchronous_commit`: an acknowledged event is flushed. A stricter default of the role stays.
/// - `client_connection_check_interval`: the server ends a statement whose client has gone.
/// - `idle_in_transaction_session_timeout`: a paused process does not keep locks.
/// - `statement_timeout` and `lock_timeout`: the deadlines of the process replace them.
/// - `enable_seqscan` and `enable_bitmapscan`: a statement that is planned while its table is empty reads rows in the order of an
///   index when the table has grown (`docs/spec/protocol.md#tables-planning`).
/// - `client_min_messages`: the warning of a commit that a standby may lack arrives (`LedgerError::OutcomeUnknown`).
/// - `jit`: no statement gains from being compiled.
const SETTINGS: &str = "\
-- session
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
SET default_transaction_deferrable = off;
SET client_connection_check_interval = '1s';
SET idle_in_transaction_session_timeout = '5s';
SET statement_timeout = 0;
SET lock_timeout = 0;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET jit = off;
SET client_min_messages = warning;
SET row_security = on;
SET standard_conforming_strings = on;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'";

/// Prepares a new connection.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(SETTINGS).await?;
    Ok(())
}
