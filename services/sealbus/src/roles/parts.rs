//! What roles share: the ledger, the broker, keys, the catalog, probes.

use std::convert::Infallible;
use std::sync::Arc;

use sealbus_broker::{Broker, BrokerConfig, BrokerError};
use sealbus_core::catalog::Catalog;
use sealbus_core::seal::Keyring;
use sealbus_ledger::{EXPECTED_MIGRATION, Ledger, LedgerConfig, LedgerError};
use sealbus_runtime::admin::{self, Health};
use sealbus_runtime::lifecycle::{Stage, Supervisor};
use sealbus_runtime::net;
use sealbus_runtime::reconnect::{Reconnect, reconnect};
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

use crate::commands::migrate;
use crate::failure::Failure;

/// Opens the ledger, waiting for a database that is away; on the first boot with the owner's address it is made first.
pub async fn ledger(settings: &Settings, shutdown: &CancellationToken) -> Result<Ledger, Failure> {
    let config = LedgerConfig {
        connections: settings.get(table::DATABASE_CONNECTIONS),
        ..LedgerConfig::new(settings.require(table::DATABASE_URL)?.expose())
    };
    if let Some(owner) = settings.find(table::OWNER_DATABASE_URL) {
        let migrate = || {
            let owner = owner.clone();
            async move { sealbus_ledger::migrate(owner.expose()).await }
        };
        reconnect("migrating the ledger", Reconnect::default(), shutdown, LedgerError::is_away, migrate).await?;
        migrate::create(settings).await?;
    }
    let open = || {
        let config = config.clone();
        async move { Ledger::open(&config).await }
    };
    let ledger = reconnect("opening the ledger", Reconnect::default(), shutdown, LedgerError::is_away, open).await?;
    if let Some(origin) = settings.find(table::ORIGIN) {
        ledger.check_origin(&origin)?;
    }
    Ok(ledger)
}

/// Connects to the broker, waiting for one that is away.
pub async fn broker(settings: &Settings, name: &str, shutdown: &CancellationToken) -> Result<Broker, Failure> {
    let config = BrokerConfig::new(settings.require(table::NATS_URL)?.expose(), name);
    let connect = || Broker::connect(config.clone());
    Ok(reconnect("connecting to the broker", Reconnect::default(), shutdown, BrokerError::is_away, connect).await?)
}

/// The keyring.
pub fn keyring(settings: &Settings) -> Result<Keyring, Failure> {
    Ok(Keyring::load(&settings.require(table::KEYRING)?)?)
}

/// The built-in catalog with the user's own files.
pub fn catalog(settings: &Settings) -> Result<Arc<Catalog>, Failure> {
    Ok(Arc::new(Catalog::load(settings.find(table::CATALOG).as_deref())?))
}

/// Probes that look at the database and at the migration that is pinned.
pub fn health(settings: &Settings, ledger: &Ledger, shutdown: &CancellationToken) -> Health {
    let expected = settings.find(table::EXPECTED_MIGRATION).unwrap_or(EXPECTED_MIGRATION);
    let (database, migrated) = (ledger.clone(), ledger.clone());
    Health::new(settings.get(table::CHECK_TIMEOUT), shutdown.clone())
        .needs("database", move || {
            let ledger = database.clone();
            async move { ledger.ping().await.map_err(|_| "away".to_owned()) }
        })
        .needs("migration", move || {
            let ledger = migrated.clone();
            async move { ledger.check_migration(expected).await }
        })
}

/// Whether the broker can be reached, as a probe says it.
pub fn broker_check(broker: &Broker) -> impl Future<Output = Result<(), String>> + Send + use<> {
    let connected = broker.is_connected();
    async move { if connected { Ok(()) } else { Err("away".to_owned()) } }
}

/// Serves probes and metrics, to the very end of the process.
pub async fn admin(
    settings: &Settings,
    health: Arc<Health>,
    registry: Registry,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let listener = net::bind(table::ADMIN_LISTEN.name(), &settings.get(table::ADMIN_LISTEN)).await?;
    let router = admin::router(health, Arc::new(registry));
    supervisor.spawn("probes and metrics", Stage::Health, move |shutdown| async move {
        admin::serve(listener, router, shutdown).await;
        Ok::<_, Infallible>(())
    });
    Ok(())
}

/// A set of tasks with the grace that the settings give.
pub fn supervisor(settings: &Settings, shutdown: CancellationToken) -> Supervisor {
    Supervisor::new(shutdown, settings.get(table::SHUTDOWN_GRACE))
}

/// A name that no other process has or had.
pub fn holder(role: &str) -> String {
    format!("{role}-{}", uuid::Uuid::new_v4().simple())
}
