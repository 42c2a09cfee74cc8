//! Shared by the ledger's tests: a ledger in a separate database for each test, and drafts to append to it.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{AppendSettings, Appender, Call, Draft, Expect};
use sealbus_ledger::{Creation, Ledger, LedgerConfig, create};
use sealbus_testkit::Postgres;
pub(crate) use sealbus_testkit::events::numbered as draft;
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "test.example/ledger";

/// A ledger in a database that only this test uses.
pub(crate) struct TestLedger {
    pub postgres: Postgres,
    pub ledger: Ledger,
    pub keyring: Keyring,
}

impl TestLedger {
    pub(crate) async fn start() -> Self {
        Self::on(Postgres::start().await).await
    }

    pub(crate) async fn on(postgres: Postgres) -> Self {
        let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
        let config = LedgerConfig::new(postgres.url());
        let creation =
            Creation { origin: ORIGIN.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
        create(&config, &creation, &keyring).await.unwrap();
        let ledger = Ledger::open(&config).await.unwrap();
        Self { postgres, ledger, keyring }
    }

    /// Starts an appender that acts as a separate replica, with its own connections and batchers.
    pub(crate) async fn appender(&self) -> Appender {
        let ledger = Ledger::open(&LedgerConfig::new(self.postgres.url())).await.unwrap();
        Appender::start(&ledger, &self.keyring, &AppendSettings::default(), None).unwrap()
    }

    /// Runs a query as superuser, and returns the number that it selects.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
    }

    /// Executes statements as superuser.
    pub(crate) async fn admin(&self, sql: &str) -> Result<(), sqlx::Error> {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.map(|_| ())
    }
}

pub(crate) fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

pub(crate) fn plan(name: &str) -> Plan {
    Plan::parse(name).unwrap()
}

pub(crate) fn call(tenant_name: &str, plan_name: &str, events: Vec<Draft>) -> Call {
    Call { tenant: tenant(tenant_name), plan: plan(plan_name), expect: Expect::Any, events }
}
