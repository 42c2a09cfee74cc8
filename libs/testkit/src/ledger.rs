//! A ledger for one test.

use std::collections::HashSet;
use std::sync::Arc;

use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::Draft;
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{AppendSettings, Appender, Call, Expect};
use sealbus_ledger::{Creation, Ledger, LedgerConfig, create};
use uuid::Uuid;

use crate::Postgres;

/// The origin of a [`TestLedger`] that names no other.
pub const ORIGIN: &str = "test.example/ledger";

/// A new ledger of eight partitions in a database that only this test uses.
pub struct TestLedger {
    /// The database. Dropping the ledger drops it too.
    pub postgres: Postgres,
    /// The ledger, opened with the writer's role.
    pub ledger: Ledger,
    /// The keyring whose active key sealed the ledger's first event: [`keyring`](crate::keyring) unless given.
    pub keyring: Keyring,
}

impl TestLedger {
    /// Creates a ledger with origin [`ORIGIN`] in the shared cluster.
    pub async fn start() -> Self {
        Self::create(Postgres::start().await, ORIGIN).await
    }

    /// Creates a ledger with this origin in this database.
    pub async fn create(postgres: Postgres, origin: &str) -> Self {
        let keyring = Keyring::parse(&crate::keyring()).expect("the test keyring is valid");
        Self::create_with(postgres, origin, keyring).await
    }

    /// Creates a ledger whose first event is sealed by the active key of `keyring`.
    pub async fn create_with(postgres: Postgres, origin: &str, keyring: Keyring) -> Self {
        let config = LedgerConfig::new(postgres.url());
        let (first_event, log_id) = (Uuid::now_v7(), Uuid::new_v4());
        let creation = Creation { origin: origin.into(), partitions: 8, first_event, log_id };
        create(&config, &creation, &keyring).await.expect("the ledger is created");
        let ledger = Ledger::open(&config).await.expect("the ledger opens");
        Self { postgres, ledger, keyring }
    }

    /// Opens the ledger a second time, with a connection pool that it shares with nobody.
    pub async fn open_again(&self) -> Ledger {
        Ledger::open(&LedgerConfig::new(self.postgres.url())).await.expect("the ledger opens")
    }

    /// Starts an appender with its own connections and batchers, as another publisher replica would. It sends no hints.
    pub async fn appender(&self) -> Appender {
        let ledger = self.open_again().await;
        Appender::start(&ledger, &self.keyring, &AppendSettings::default(), None).expect("the keyring can sign")
    }

    /// Gives every queued event its leaf in the log. No checkpoint is signed.
    pub async fn seal(&self) {
        while self.ledger.log().seal_batch(1_000, &HashSet::new(), None).await.expect("sealing succeeds").leaves > 0 {}
    }
}

/// Appends events to a plan as one call and returns their records.
pub async fn append(appender: &Appender, tenant: &str, plan: &str, events: Vec<Draft>) -> Vec<Arc<Record>> {
    let stored = appender.append(call(tenant, plan, events)).await.expect("the events are appended");
    stored.into_iter().map(|event| event.record).collect()
}

/// A call that appends events to a plan whatever its head is.
pub fn call(tenant: &str, plan: &str, events: Vec<Draft>) -> Call {
    let tenant = Tenant::parse(tenant).expect("the tenant's name is valid");
    let plan = Plan::parse(plan).expect("the plan's name is valid");
    Call { tenant, plan, expect: Expect::Any, events }
}
