//! What roles share: the ledger, the broker, keys, the catalog, probes.

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use sealbus_broker::topology::TopologySettings;
use sealbus_broker::{Broker, BrokerConfig, BrokerError};
use sealbus_core::catalog::Catalog;
use sealbus_core::error_chain;
use sealbus_core::log::note::LogSigner;
use sealbus_core::log::policy::Policy;
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::AppendSettings;
use sealbus_ledger::{EXPECTED_MIGRATION, Ledger, LedgerConfig, LedgerError};
use sealbus_runtime::admin::{self, Health};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::files::{load_catalog, load_keyring};
use sealbus_runtime::lifecycle::{Stage, Supervisor};
use sealbus_runtime::net;
use sealbus_runtime::reconnect::{Reconnect, reconnect};
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry::metrics::Registry;
use sealbus_sealer::Witnesses;
use sealbus_sealer::anchors::{Anchor, AnchorFile, AnchorStream};
use tokio_util::sync::CancellationToken;

use crate::commands::migrate;
use crate::failure::Failure;

/// Opens the ledger, waiting for a database that is away; on the first boot with the owner's address it is made first.
pub(crate) async fn ledger(settings: &Settings, shutdown: &CancellationToken) -> Result<Ledger, Failure> {
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
pub(crate) async fn broker(settings: &Settings, name: &str, shutdown: &CancellationToken) -> Result<Broker, Failure> {
    let config = BrokerConfig::new(settings.require(table::NATS_URL)?.expose(), name);
    let connect = || Broker::connect(config.clone());
    Ok(reconnect("connecting to the broker", Reconnect::default(), shutdown, BrokerError::is_unreachable, connect)
        .await?)
}

/// The streams as the settings want them.
pub(crate) fn topology(settings: &Settings) -> TopologySettings {
    TopologySettings {
        replicas: settings.get(table::STREAM_REPLICAS) as usize,
        max_age: settings.get(table::STREAM_MAX_AGE),
        max_bytes: settings.get(table::STREAM_MAX_BYTES).bytes(),
    }
}

/// How events are appended, by a publisher and by a command alike: which plans carry scheme v1 must not depend on who began
/// them.
pub(crate) fn append_settings(settings: &Settings) -> AppendSettings {
    AppendSettings {
        batchers: settings.get(table::BATCHERS) as usize,
        batch_events: settings.get(table::MAX_BATCH_EVENTS) as usize,
        batch_plans: settings.get(table::MAX_BATCH_PLANS) as usize,
        waiting_events: settings.get(table::WAITING_EVENTS) as usize,
        lock_timeout: settings.get(table::LOCK_TIMEOUT),
        v1_tenants: settings.find(table::V1_TENANTS).map(HashSet::from_iter).unwrap_or_default(),
        lease: settings.get(table::LEASE),
        lease_renew: settings.get(table::LEASE_RENEW_INTERVAL),
    }
}

/// The keyring.
pub(crate) fn keyring(settings: &Settings) -> Result<Keyring, Failure> {
    Ok(load_keyring(&settings.require(table::KEYRING)?)?)
}

/// The log's key, which signs checkpoints.
pub(crate) fn log_signer(settings: &Settings, ledger: &Ledger) -> Result<LogSigner, Failure> {
    LogSigner::new(&keyring(settings)?, &ledger.deployment().origin).map_err(|error| {
        Failure::new(format!(
            "the log's checkpoints cannot be signed: {error}; the keyring needs one active log- key with its secret"
        ))
    })
}

/// The policy of this file.
pub(crate) fn policy(path: &Path) -> Result<Policy, Failure> {
    let wrong = |error: &dyn std::error::Error| Failure::new(format!("the policy {}: {error}", path.display()));
    let file = std::fs::read(path).map_err(|error| wrong(&error))?;
    Policy::parse(&file).map_err(|error| wrong(&error))
}

/// Who cosigns the log's checkpoints: the witnesses of the policy, where one is given.
pub(crate) fn witnesses(settings: &Settings, signer: &LogSigner) -> Result<Option<Witnesses>, Failure> {
    let Some(path) = settings.find(table::POLICY) else { return Ok(None) };
    let timeout = settings.get(table::WITNESS_TIMEOUT);
    let witnesses = Witnesses::new(policy(&path)?, &signer.verifier_key(), timeout, Arc::new(SystemClock));
    let witnesses = witnesses.map_err(|error| {
        Failure::new(format!("the log cannot be sealed by the policy {}: {}", path.display(), error_chain(&error)))
    })?;
    Ok(Some(witnesses))
}

/// Where checkpoints are kept: the stream, and the file where one is named.
pub(crate) fn anchors(settings: &Settings, broker: &Broker) -> Vec<Arc<dyn Anchor>> {
    let mut anchors: Vec<Arc<dyn Anchor>> = vec![Arc::new(AnchorStream::new(broker.clone()))];
    anchors.extend(settings.find(table::ANCHORS).map(|path| Arc::new(AnchorFile::new(path)) as Arc<dyn Anchor>));
    anchors
}

/// The built-in catalog with the user's own files.
pub(crate) fn catalog(settings: &Settings) -> Result<Arc<Catalog>, Failure> {
    Ok(Arc::new(load_catalog(settings.find(table::CATALOG).as_deref())?))
}

/// Probes that look at the database and at the migration that is pinned.
pub(crate) fn health(settings: &Settings, ledger: &Ledger, shutdown: &CancellationToken) -> Health {
    let expected = settings.find(table::EXPECTED_MIGRATION).unwrap_or(EXPECTED_MIGRATION);
    let (database, migrated) = (ledger.clone(), ledger.clone());
    Health::new(settings.get(table::CHECK_TIMEOUT), shutdown.clone())
        .needs("database", move || {
            let ledger = database.clone();
            async move { ledger.ping().await.map_err(|_| "away".to_owned()) }
        })
        .needs("migration", move || {
            let ledger = migrated.clone();
            async move { sealbus_ledger::check_migration(&ledger, expected).await }
        })
}

/// What a role that stands between ledger and broker has open.
pub(crate) struct Between {
    /// The ledger.
    pub ledger: Ledger,
    /// The broker.
    pub broker: Broker,
    /// Where the role's own work is to be started.
    pub supervisor: Supervisor,
    health: Arc<Health>,
}

/// Opens the ledger and the broker, waiting for either, and serves metrics and probes, which ask for both.
pub(crate) async fn between(
    settings: &Settings,
    name: &str,
    registry: Registry,
    shutdown: CancellationToken,
) -> Result<Between, Failure> {
    let ledger = ledger(settings, &shutdown).await?;
    let broker = broker(settings, name, &shutdown).await?;
    let probed = broker.clone();
    let health = health(settings, &ledger, &shutdown).needs("broker", move || {
        let connected = probed.is_connected();
        async move { if connected { Ok(()) } else { Err("away".to_owned()) } }
    });
    let health = Arc::new(health);
    let mut supervisor = supervisor(settings, shutdown);
    admin(settings, health.clone(), registry, &mut supervisor).await?;
    Ok(Between { ledger, broker, supervisor, health })
}

impl Between {
    /// Says that the role is there, runs it to its end, and closes what was opened.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.health.started();
        self.supervisor.run().await?;
        self.broker.close().await;
        self.ledger.close().await;
        Ok(())
    }
}

/// Serves probes and metrics, to the very end of the process.
pub(crate) async fn admin(
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
pub(crate) fn supervisor(settings: &Settings, shutdown: CancellationToken) -> Supervisor {
    Supervisor::new(shutdown, settings.get(table::SHUTDOWN_GRACE))
}

/// A name that no other process has or had.
pub(crate) fn holder(role: &str) -> String {
    format!("{role}-{}", uuid::Uuid::new_v4().simple())
}
