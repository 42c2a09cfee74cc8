//! A sink that inserts a row for each event into a Postgres table: audit storage.
//!
//! In the ledger's database the row and the position commit together, so that each event has one row. With `url` the
//! table is in another database. There each event is inserted at least once, and the unique (tenant, plan, seq) makes
//! it one row.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, LedgerEffect};
use sealbus_ledger::delivery::effects::EffectLimits;
use sealbus_ledger::{Lane, Ledger, LentConnection};
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::OnceCell;

/// The most events that one statement inserts.
const MAX_BATCH: usize = 256;
/// The most connections to another database.
const MAX_CONNECTIONS: u32 = 8;
/// How long a call waits for a connection to another database, whether it is opened or given back by another call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an insert into another database waits for a lock. It is far shorter than [`CONNECT_TIMEOUT`], so that plans that
/// wait for locked rows give their connections back before the calls of other plans fail without one. The runtime repeats
/// the call as the same attempt.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// The advisory lock under which tables are created. It is not negative, as all advisory locks except those of plans,
/// and spells "sink".
const SINK_LOCK: i64 = 0x7369_6e6b;

/// The options of a Postgres sink.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSpec {
    /// The table, `name` or `schema.name` of `a-z`, `0-9` and `_`. It is created if it does not exist.
    pub table: String,
    /// The URL of another database than the ledger's. It may hold a password, which `Debug` does not show.
    pub url: Option<String>,
}

impl std::fmt::Debug for PostgresSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSpec")
            .field("table", &self.table)
            .field("url", &self.url.as_ref().map(|_| "…"))
            .finish()
    }
}

/// The error of a sink whose table does not exist and cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("table {table} cannot be prepared")]
pub struct SinkError {
    table: String,
    source: sqlx::Error,
}

impl PostgresSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        let is_name = |name: &str| {
            (1..=63).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
                && !name.starts_with(|first: char| first.is_ascii_digit())
        };
        if !(1..=2).contains(&self.table.split('.').count()) || !self.table.split('.').all(is_name) {
            // The text is not quoted: it may be a URL that was written into the wrong option.
            return Err("table: must be `name` or `schema.name` of a-z, 0-9 and _".into());
        }
        if self.table.starts_with("sealbus.") {
            return Err("table: schema sealbus is reserved for the ledger".into());
        }
        if self.url.as_ref().is_some_and(|url| PgConnectOptions::from_str(url).is_err()) {
            return Err("url: must have the form postgres://user:password@host/database".into());
        }
        Ok(())
    }
}

/// Prepares the table of a sink, and returns its handler. `limits` bound each statement on it.
pub(super) async fn handler(
    spec: &PostgresSpec,
    ledger: &Ledger,
    schema: &str,
    limits: EffectLimits,
) -> Result<Handler, SinkError> {
    let failed = |source| SinkError { table: spec.table.clone(), source };
    match &spec.url {
        None => {
            let table = Table::new(&spec.table, schema);
            table.create(ledger.effects(), limits).await.map_err(failed)?;
            Ok(Handler::InLedger(Arc::new(table)))
        }
        Some(url) => {
            let lane = Lane::to_other_database(url, MAX_CONNECTIONS, CONNECT_TIMEOUT).map_err(failed)?;
            // The other database has no schema for sinks.
            Ok(Handler::External(Arc::new(OtherDatabase {
                table: Table::new(&spec.table, "public"),
                lane,
                limits,
                created: OnceCell::new(),
            })))
        }
    }
}

/// A table in another database, which is created before the first event.
struct OtherDatabase {
    table: Table,
    lane: Lane,
    limits: EffectLimits,
    created: OnceCell<()>,
}

#[async_trait]
impl ExternalEffect for OtherDatabase {
    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    async fn apply(&self, batch: &[Delivery]) -> Result<(), HandlerError> {
        self.created.get_or_try_init(|| self.table.create(&self.lane, self.limits)).await?;
        // If the call is given up, the connection is closed instead of going back with a running statement.
        let mut connection = LentConnection::acquire(&self.lane).await?;
        let limits = EffectLimits { lock_timeout: self.limits.lock_timeout.min(LOCK_TIMEOUT), ..self.limits };
        let mut transaction = connection.begin_effect(limits).await?;
        let inserted = self.table.insert(batch, &mut transaction).await;
        match &inserted {
            Ok(()) => transaction.commit().await?,
            Err(_) => transaction.rollback().await?,
        }
        connection.release();
        inserted
    }
}

#[async_trait]
impl LedgerEffect for Table {
    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    async fn apply(&self, batch: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        self.insert(batch, transaction).await
    }
}

/// A table of events. Its names have been checked, so they need no quotes in SQL.
struct Table {
    schema: String,
    name: String,
    /// Whether a view of the same name is created in `public`.
    has_view: bool,
}

impl Table {
    fn new(table: &str, default_schema: &str) -> Self {
        let (schema, name) = table.split_once('.').unwrap_or((default_schema, table));
        Self {
            schema: schema.to_owned(),
            name: name.to_owned(),
            has_view: !table.contains('.') && default_schema != "public",
        }
    }

    /// Creates the table and its view if they do not exist.
    async fn create(&self, lane: &Lane, limits: EffectLimits) -> Result<(), sqlx::Error> {
        let Self { schema, name, .. } = self;
        let mut connection = LentConnection::acquire(lane).await?;
        let mut transaction = connection.begin_effect(limits).await?;
        sqlx::query("-- sink_lock\nSELECT pg_advisory_xact_lock($1)")
            .bind(SINK_LOCK)
            .execute(&mut *transaction)
            .await?;
        let exists: bool = sqlx::query_scalar("-- sink_table_exists\nSELECT to_regclass($1) IS NOT NULL")
            .bind(format!("{schema}.{name}"))
            .fetch_one(&mut *transaction)
            .await?;
        if !exists {
            let table = format!(
                "-- create_sink_table
                CREATE TABLE {schema}.{name} (
                    n           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    tenant      text NOT NULL,
                    plan        text NOT NULL,
                    seq         bigint NOT NULL,
                    event_id    uuid NOT NULL,
                    type        text NOT NULL,
                    actor       text,
                    occurred_at timestamptz NOT NULL,
                    data        jsonb,
                    metadata    jsonb NOT NULL,
                    UNIQUE (tenant, plan, seq)
                )"
            );
            sqlx::query(AssertSqlSafe(table)).execute(&mut *transaction).await?;
        }
        let view_is_possible: bool = sqlx::query_scalar(
            "-- sink_view_is_possible\nSELECT has_schema_privilege('public', 'CREATE') AND to_regclass($1) IS NULL",
        )
        .bind(format!("public.{name}"))
        .fetch_one(&mut *transaction)
        .await?;
        if self.has_view && view_is_possible {
            let view = format!("-- create_sink_view\nCREATE VIEW public.{name} AS SELECT * FROM {schema}.{name}");
            sqlx::query(AssertSqlSafe(view)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        connection.release();
        Ok(())
    }

    /// Inserts a row for each event, in order. A row that exists already stays as it is.
    async fn insert(&self, batch: &[Delivery], connection: &mut PgConnection) -> Result<(), HandlerError> {
        let headers = || batch.iter().map(|delivery| &delivery.record.header);
        let seqs = headers().map(|header| i64::try_from(header.seq)).collect::<Result<Vec<_>, _>>();
        let seqs = seqs.map_err(|_| HandlerError::new("a seq is above the range of bigint"))?;
        let insert = format!(
            "-- sink_insert
            INSERT INTO {}.{} (tenant, plan, seq, event_id, type, actor, occurred_at, data, metadata)
            SELECT tenant, plan, seq, event_id, type, nullif(actor, ''), occurred_at, data::jsonb, metadata::jsonb
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::text[])
                WITH ORDINALITY AS event (tenant, plan, seq, event_id, type, actor, occurred_at, data, metadata, place)
            ORDER BY place ON CONFLICT DO NOTHING",
            self.schema, self.name
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(headers().map(|header| header.tenant.as_str()).collect::<Vec<_>>())
            .bind(headers().map(|header| header.plan.as_str()).collect::<Vec<_>>())
            .bind(seqs)
            .bind(headers().map(|header| header.event_id).collect::<Vec<_>>())
            .bind(headers().map(|header| header.event_type.as_str()).collect::<Vec<_>>())
            .bind(headers().map(|header| header.actor.as_str()).collect::<Vec<_>>())
            .bind(headers().map(|header| header.occurred.to_offset()).collect::<Vec<_>>())
            .bind(batch.iter().map(|delivery| delivery.record.payload.as_deref()).collect::<Vec<_>>())
            .bind(batch.iter().map(|delivery| delivery.record.metadata.as_str()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_is_one_or_two_plain_identifiers() {
        let check = |table: &str| PostgresSpec { table: table.into(), url: None }.check();
        for good in ["audit_log", "reports.audit_log", "_a1"] {
            assert_eq!(check(good), Ok(()), "table {good}");
        }
        for bad in ["", "a.b.c", "Audit", "a b", "a;drop", "1a", ".a", "a.", "sealbus.events", "é"] {
            assert!(check(bad).is_err(), "table {bad} is accepted");
        }
    }

    #[test]
    fn an_address_is_checked_and_never_shown() {
        let spec = PostgresSpec { table: "a".into(), url: Some("postgres://u:secret@h/db".into()) };
        assert_eq!(spec.check(), Ok(()));
        assert!(!format!("{spec:?}").contains("secret"));
        assert!(PostgresSpec { url: Some("mysql//x".into()), ..spec }.check().is_err());
    }
}
