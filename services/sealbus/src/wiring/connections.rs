//! What a role runs with: its connections, its probes and metrics, and the supervisor of its tasks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::Broker;
use sealbus_ledger::{ConnectionSettings, EXPECTED_MIGRATION, Ledger};
use sealbus_runtime::admin::{self, Health};
use sealbus_runtime::lifecycle::{Stage, Supervisor};
use sealbus_runtime::net;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

use super::{connections, register_connections, wait_for_broker, wait_for_ledger};
use crate::failure::Failure;

/// How often readiness is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The open connections of a role between ledger and broker, with the supervisor of its tasks.
pub(crate) struct Connections {
    pub ledger: Ledger,
    pub broker: Broker,
    pub supervisor: Supervisor,
    health: Arc<Health>,
}

impl Connections {
    /// Opens the ledger, whose connections `divide` divides among the lanes, and connects to the broker as `client_name`, retrying until both can be reached; then serves
    /// metrics, and probes that check both.
    pub(crate) async fn open(
        settings: &Settings,
        divide: impl FnOnce(u32, Duration) -> ConnectionSettings,
        client_name: &str,
        mut registry: Registry,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        let ledger = wait_for_ledger(settings, &connections(settings, divide), &shutdown).await?;
        register_connections(&mut registry, &ledger);
        let broker = wait_for_broker(settings, client_name, &shutdown).await?;
        let probed = broker.clone();
        let health = health(settings, &ledger, &shutdown).with_required("broker", move || {
            let connected = probed.is_connected();
            async move { if connected { Ok(()) } else { Err("away".to_owned()) } }
        });
        let health = Arc::new(health);
        let supervisor = supervisor(settings, health.clone(), registry, shutdown).await?;
        Ok(Self { ledger, broker, supervisor, health })
    }

    /// Reports the role as started, runs its tasks until they end, and closes the connections.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.health.started();
        self.supervisor.run().await?;
        self.broker.close().await;
        self.ledger.close().await;
        Ok(())
    }
}

/// Returns readiness checks of the database and of its newest migration, which has to be `SEALBUS_EXPECTED_MIGRATION` or
/// the one that this program was built with.
fn health(settings: &Settings, ledger: &Ledger, shutdown: &CancellationToken) -> Health {
    let expected = settings.find(table::EXPECTED_MIGRATION).unwrap_or(EXPECTED_MIGRATION);
    let (database, migrated) = (ledger.clone(), ledger.clone());
    Health::new(settings.get(table::CHECK_TIMEOUT), shutdown.clone())
        .with_required("database", move || {
            let ledger = database.clone();
            async move { ledger.ping().await.map_err(|_| "away".to_owned()) }
        })
        .with_required("migration", move || {
            let ledger = migrated.clone();
            async move { sealbus_ledger::check_migration(&ledger, expected).await }
        })
}

/// Returns a supervisor that gives its tasks `SEALBUS_SHUTDOWN_GRACE` to stop. Its only task so far, and the last one to stop,
/// serves probes and metrics on `SEALBUS_ADMIN_LISTEN`.
pub(crate) async fn supervisor(
    settings: &Settings,
    health: Arc<Health>,
    registry: Registry,
    shutdown: CancellationToken,
) -> Result<Supervisor, Failure> {
    let listener = net::bind(table::ADMIN_LISTEN.name(), &settings.get(table::ADMIN_LISTEN)).await?;
    let router = admin::router(health, Arc::new(registry));
    let mut supervisor = Supervisor::new(shutdown, settings.get(table::SHUTDOWN_GRACE));
    supervisor.spawn("probes and metrics", Stage::Health, move |shutdown| async move {
        admin::serve(listener, router, shutdown).await;
        Ok::<_, Infallible>(())
    });
    Ok(supervisor)
}

/// Waits until the probes at all these addresses report readiness.
pub(crate) async fn until_ready(addresses: &[String]) {
    let http = reqwest::Client::new();
    for address in addresses {
        let ready = format!("http://{address}/readyz");
        while !http.get(&ready).send().await.is_ok_and(|response| response.status().is_success()) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
