//! A ledger for one test.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::Draft;
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{AppendSettings, Appender, Call, Expect};
use sealbus_ledger::log::SealingState;
use sealbus_ledger::{ConnectionSettings, Creation, Ledger, create};
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
        let (first_event, log_id) = (Uuid::now_v7(), Uuid::new_v4());
        let creation = Creation { origin: origin.into(), partitions: 8, first_event, log_id };
        create(&postgres.url(), &creation, &keyring).await.expect("the ledger is created");
        let ledger = open(&postgres.url()).await;
        Self { postgres, ledger, keyring }
    }

    /// Opens the ledger a second time, with a connection pool that it shares with nobody.
    pub async fn open_again(&self) -> Ledger {
        open(&self.postgres.url()).await
    }

    /// Starts an appender with its own connections and batchers, as another publisher replica would. It sends no hints.
    pub async fn appender(&self) -> Appender {
        let ledger = self.open_again().await;
        Appender::start(&ledger, &self.keyring, &append_settings(), None).expect("the keyring can sign")
    }

    /// Gives every queued event its leaf in the log. No checkpoint is signed.
    pub async fn seal(&self) {
        let mut state = SealingState::default();
        while self.ledger.log().seal_batch(1_000, &mut state, None).await.expect("sealing succeeds").leaves > 0 {}
    }
}

/// Opens the ledger in the database with this address.
pub async fn open(url: &str) -> Ledger {
    Ledger::open(url, &connection_settings()).await.expect("the ledger opens")
}

/// Settings of connections that suit every test that does not test one of them, whatever role it plays.
pub fn connection_settings() -> ConnectionSettings {
    ConnectionSettings { appends: 6, reads: 6, background: 6, effects: 8, deadline: Duration::from_mins(1) }
}

/// Settings of an appender that suit every test that does not test one of them.
pub fn append_settings() -> AppendSettings {
    AppendSettings {
        batchers: 2,
        max_batch_events: 500,
        max_batch_plans: 200,
        lock_timeout: Duration::from_secs(10),
        v1_tenants: HashSet::new(),
        lease_duration: Duration::from_secs(10),
        lease_renew_interval: Duration::from_secs(3),
    }
}

/// Appends events to a plan as one call and returns their records.
pub async fn append(appender: &Appender, tenant: &str, plan: &str, events: Vec<Draft>) -> Vec<Arc<Record>> {
    let stored = appender.append(call(tenant, plan, events)).await.expect("the events are appended");
    stored.into_iter().map(|event| event.record).collect()
}

/// A call that appends events to a plan whatever its head is.
pub fn call(tenant: &str, plan: &str, events: Vec<Draft>) -> Call {
    Call { tenant: self::tenant(tenant), plan: self::plan(plan), expect: Expect::Any, events }
}

/// Returns the tenant of this name.
pub fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).expect("the tenant's name is valid")
}

/// Returns the plan of this name.
pub fn plan(name: &str) -> Plan {
    Plan::parse(name).expect("the plan's name is valid")
}
