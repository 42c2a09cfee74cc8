//! The history of the database server that the ledger's commits belong to (`docs/spec/protocol.md#repair-failover`).
//!
//! A server that takes over after a failover, or that was restored from a backup, may lack events that were acknowledged. Its
//! system identifier or its timeline then differs from those of the server that acknowledged them. Each new connection
//! reads both. While they are those of a history that nobody has confirmed, nothing is appended and nothing is signed.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sealbus_core::canonical;
use sealbus_core::names::{Plan, Tenant};
use serde_json::json;
use sqlx::{PgConnection, PgExecutor};

use crate::append::{AppendError, Appender, Call, Expect};
use crate::own_event::{is_reason, own_event};
use crate::{Ledger, LedgerError};

/// What identifies the history of a database server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHistory {
    /// The system identifier of the cluster, which `initdb` chooses.
    pub system_identifier: String,
    /// The timeline of its WAL, 8 hex digits, which each promotion and each recovery to a point in time raises.
    pub timeline: String,
}

impl fmt::Display for ServerHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system {}, timeline {}", self.system_identifier, self.timeline)
    }
}

/// The history that the connections of a process belong to.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// The history of the newest connection; `None` before the first one, and for a standby.
    newest: Mutex<Option<ServerHistory>>,
    changes: AtomicU64,
    /// Whether the history of the last connection that was checked was not confirmed.
    is_unconfirmed: AtomicBool,
}

impl Observed {
    /// Records the history of a new connection. Returns whether it is another one than that of the connections before.
    pub(crate) fn observe(&self, history: Option<ServerHistory>) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = newest.is_some() && *newest != history;
        *newest = history;
        if changed {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        changed
    }
}

/// Reads the history of the server of a connection; `None` for a standby.
pub(crate) async fn read(connection: impl PgExecutor<'_>) -> Result<Option<ServerHistory>, sqlx::Error> {
    let row = sqlx::query!(
        r#"-- server_history
        SELECT system_identifier::text AS "system_identifier!",
            CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline
        FROM pg_control_system()"#
    );
    let row = row.fetch_one(connection).await?;
    let system_identifier = row.system_identifier;
    Ok(row.timeline.map(|timeline| ServerHistory { system_identifier, timeline }))
}

/// Reasons why a history was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The reason is empty, too long, or contains U+0000.
    #[error("the reason must have 1 to 2,000 characters, without U+0000")]
    Reason,
    /// The database is a standby, to which nothing can be written.
    #[error("the database is a standby; confirm the history on the server that was promoted")]
    Standby,
    /// The history counts as confirmed, but its event could not be appended.
    #[error("the history is confirmed, but the event that records it could not be appended; repeat the command")]
    Append(#[source] AppendError),
    /// The database failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Access to the history of the database server, from [`Ledger::server_history`].
#[derive(Clone, Copy)]
pub struct ServerHistories<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl ServerHistories<'_> {
    /// Returns the number of times that the connections of this process turned out to belong to another history. What was cached
    /// before a change may not hold after it.
    pub fn changes(self) -> u64 {
        self.ledger.observed().changes.load(Ordering::Relaxed)
    }

    /// Returns whether this process last found the history not confirmed. It looks before it appends or signs.
    pub fn is_unconfirmed(self) -> bool {
        self.ledger.observed().is_unconfirmed.load(Ordering::Relaxed)
    }

    /// Returns the history of the server; `None` for a standby.
    pub async fn current(self) -> Result<Option<ServerHistory>, LedgerError> {
        Ok(read(self.ledger.probes()).await?)
    }

    /// Returns the histories in which appends are allowed: that of the ledger's creation or recovery first, then those that were
    /// confirmed since, oldest first.
    pub async fn confirmed(self) -> Result<Vec<ServerHistory>, LedgerError> {
        confirmed(self.ledger.probes()).await
    }

    /// Checks that the server of this connection has a confirmed history. The connection keeps that history, because a server gets
    /// another one only when it starts or is promoted.
    ///
    /// # Errors
    /// [`LedgerError::OtherHistory`] if it is not confirmed; a standby counts as unreachable.
    pub(crate) async fn check(self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        let confirmed = confirmed(&mut *connection).await?;
        let current = read(connection).await?;
        let Some(current) = current else {
            return Err(sqlx::Error::Protocol("the database is a standby".to_owned()).into());
        };
        let is_confirmed = confirmed.contains(&current);
        self.ledger.observed().is_unconfirmed.store(!is_confirmed, Ordering::Relaxed);
        if is_confirmed {
            return Ok(());
        }
        Err(LedgerError::OtherHistory { current, confirmed: confirmed.last().cloned() })
    }

    /// Allows appends in the server's present history, on the word of an operator that nothing is missing. Appends the event
    /// `ledger.history_confirmed`, with the reason, to plan `_ledger` of the tenant `_system`. Returns the history.
    pub async fn confirm(self, appender: &Appender, actor: &str, reason: &str) -> Result<ServerHistory, ConfirmError> {
        if !is_reason(reason) {
            return Err(ConfirmError::Reason);
        }
        let current = self.ledger.background().within(self.record_current()).await?.ok_or(ConfirmError::Standby)?;
        let ServerHistory { system_identifier, timeline } = &current;
        let data = json!({ "system_identifier": system_identifier, "timeline": timeline, "reason": reason });
        let origin = &self.ledger.deployment().origin;
        let events = vec![own_event(origin, "ledger.history_confirmed", actor, canonical::write(&data))];
        let call = Call { tenant: Tenant::system(), plan: Plan::ledger(), expect: Expect::Any, events };
        appender.append(call).await.map_err(ConfirmError::Append)?;
        Ok(current)
    }

    /// Records the server's present history as confirmed, and returns it; `None` for a standby. Both statements run on one connection,
    /// since another one may lead to another server.
    async fn record_current(self) -> Result<Option<ServerHistory>, LedgerError> {
        let mut connection = self.ledger.background().acquire().await?;
        let Some(current) = read(&mut *connection).await? else { return Ok(None) };
        sqlx::query!(
            "-- confirm_history
            INSERT INTO sealbus.confirmed_histories (generation, system_identifier, timeline) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING",
            self.ledger.deployment().generation,
            current.system_identifier,
            current.timeline,
        )
        .execute(&mut *connection)
        .await?;
        Ok(Some(current))
    }
}

async fn confirmed(connection: impl PgExecutor<'_>) -> Result<Vec<ServerHistory>, LedgerError> {
    let rows = sqlx::query_as!(
        ServerHistory,
        r#"-- confirmed_histories
        SELECT system_identifier AS "system_identifier!", timeline AS "timeline!" FROM (
            SELECT generation, system_identifier, timeline, created_at AS since FROM sealbus.deployment
            UNION ALL
            SELECT generation, system_identifier, timeline, confirmed_at FROM sealbus.confirmed_histories
        ) histories WHERE generation = (SELECT max(generation) FROM sealbus.deployment) ORDER BY since"#
    );
    Ok(rows.fetch_all(connection).await?)
}
