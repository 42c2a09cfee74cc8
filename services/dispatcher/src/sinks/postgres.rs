//! Audit storage: a row for each event in a Postgres table.
//!
//! In the ledger's database the row and the position commit together, so that each event has one row. With `url` the table
//! is in another database: there each event is inserted at least once, and (tenant, plan, seq) makes that one row.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, LedgerEffect};
use sealbus_ledger::Ledger;
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tokio::sync::OnceCell;

/// Events in one statement.
const LONGEST_RUN: usize = 256;
/// Connections to another database.
const CONNECTIONS: u32 = 8;
/// The lock under which tables are made: non-negative, as all but the plans' are. The letters "sink".
const SINK_LOCK: i64 = 0x7369_6e6b;

/// Where the rows go.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSpec {
    /// The table, made if it is not there: `name`, or `schema.name`, of `a-z`, `0-9` and `_`.
    pub table: String,
    /// Another database than the ledger's; may hold a password, which `Debug` does not show.
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

/// Why a sink cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Its table can neither be found nor made.
    #[error("table {table} cannot be made ready")]
    Table {
        /// The table.
        table: String,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

impl PostgresSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        let is_name = |name: &str| {
            (1..=63).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
                && !name.starts_with(|first: char| first.is_ascii_digit())
        };
        if !(1..=2).contains(&self.table.split('.').count()) || !self.table.split('.').all(is_name) {
            return Err(format!("table: a name, or a schema and a name, of a-z, 0-9 and _, not `{}`", self.table));
        }
        if self.table.starts_with("sealbus.") {
            return Err("table: schema sealbus is the ledger's own".into());
        }
        match &self.url {
            Some(url) => PgConnectOptions::from_str(url)
                .map(|_| ())
                .map_err(|_| "url: not of the form postgres://user:password@host/database".into()),
            None => Ok(()),
        }
    }
}

pub(super) async fn handler(spec: &PostgresSpec, ledger: &Ledger, schema: &str) -> Result<Handler, SinkError> {
    let unready = |source| SinkError::Table { table: spec.table.clone(), source };
    match &spec.url {
        None => {
            let table = Table::new(&spec.table, schema);
            table.make(ledger.effects_pool()).await.map_err(unready)?;
            Ok(Handler::InLedger(Arc::new(InLedger { table })))
        }
        Some(url) => {
            let options = PgConnectOptions::from_str(url).map_err(unready)?.application_name("sealbus");
            let pool = PgPoolOptions::new()
                .max_connections(CONNECTIONS)
                .acquire_timeout(Duration::from_secs(5))
                .test_before_acquire(false)
                .connect_lazy_with(options);
            // There, nobody has made a schema for sinks.
            Ok(Handler::External(Arc::new(Elsewhere {
                table: Table::new(&spec.table, "public"),
                pool,
                made: OnceCell::new(),
            })))
        }
    }
}

struct InLedger {
    table: Table,
}

#[async_trait]
impl LedgerEffect for InLedger {
    fn max_batch(&self) -> usize {
        LONGEST_RUN
    }

    async fn apply(&self, run: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        Ok(self.table.insert(run, transaction).await?)
    }
}

struct Elsewhere {
    table: Table,
    pool: PgPool,
    made: OnceCell<()>,
}

#[async_trait]
impl ExternalEffect for Elsewhere {
    fn max_batch(&self) -> usize {
        LONGEST_RUN
    }

    async fn apply(&self, run: &[Delivery]) -> Result<(), HandlerError> {
        self.made.get_or_try_init(|| self.table.make(&self.pool)).await?;
        Ok(self.table.insert(run, &mut *self.pool.acquire().await?).await?)
    }
}

/// A table of events. Its names were checked: they need no quotes.
struct Table {
    schema: String,
    name: String,
    /// Whether `public` is to show it under its name.
    shown: bool,
}

impl Table {
    fn new(table: &str, default_schema: &str) -> Self {
        let (schema, name) = table.split_once('.').unwrap_or((default_schema, table));
        Self {
            schema: schema.to_owned(),
            name: name.to_owned(),
            shown: !table.contains('.') && default_schema != "public",
        }
    }

    /// Makes the table, and its view, if they are not there.
    async fn make(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let Self { schema, name, .. } = self;
        let mut transaction = pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1) -- sink_lock").bind(SINK_LOCK).execute(&mut *transaction).await?;
        let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL -- sink_table_exists")
            .bind(format!("{schema}.{name}"))
            .fetch_one(&mut *transaction)
            .await?;
        if !there {
            let table = format!(
                "-- make_sink_table
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
        let may_show: bool = sqlx::query_scalar(
            "SELECT has_schema_privilege('public', 'CREATE') AND to_regclass($1) IS NULL -- sink_view_possible",
        )
        .bind(format!("public.{name}"))
        .fetch_one(&mut *transaction)
        .await?;
        if self.shown && may_show {
            let view = format!("CREATE VIEW public.{name} AS SELECT * FROM {schema}.{name} -- make_sink_view");
            sqlx::query(AssertSqlSafe(view)).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// A row for each event, in order; one that is there already stays as it is.
    async fn insert(&self, run: &[Delivery], connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let headers = || run.iter().map(|delivery| &delivery.record.header);
        let insert = format!(
            "-- sink_insert
            INSERT INTO {}.{} (tenant, plan, seq, event_id, type, actor, occurred_at, data, metadata)
            SELECT tenant, plan, seq, event_id, type, nullif(actor, ''), occurred_at, data::jsonb, metadata::jsonb
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::text[])
                WITH ORDINALITY AS event (tenant, plan, seq, event_id, type, actor, occurred_at, data, metadata, at)
            ORDER BY at ON CONFLICT DO NOTHING",
            self.schema, self.name
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(headers().map(|header| header.tenant.as_str()).collect::<Vec<_>>())
            .bind(headers().map(|header| header.plan.as_str()).collect::<Vec<_>>())
            .bind(headers().map(|header| i64::try_from(header.seq).unwrap_or(i64::MAX)).collect::<Vec<_>>())
            .bind(headers().map(|header| header.event_id).collect::<Vec<_>>())
            .bind(headers().map(|header| header.event_type.as_str()).collect::<Vec<_>>())
            .bind(headers().map(|header| header.actor.as_str()).collect::<Vec<_>>())
            .bind(headers().map(|header| header.occurred.to_offset()).collect::<Vec<_>>())
            .bind(run.iter().map(|delivery| delivery.record.payload.as_deref()).collect::<Vec<_>>())
            .bind(run.iter().map(|delivery| delivery.record.metadata.as_str()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables() {
        let check = |table: &str| PostgresSpec { table: table.into(), url: None }.check();
        for good in ["audit_log", "reports.audit_log", "_a1"] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in ["", "a.b.c", "Audit", "a b", "a;drop", "1a", ".a", "a.", "sealbus.events", "é"] {
            assert!(check(bad).is_err(), "{bad}");
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
