//! What a role runs with: its connections, its probes and metrics, and the supervisor of its tasks.

use std::convert::Infallible;
use std::sync::Arc;

use sealbus_broker::Broker;
use sealbus_ledger::{EXPECTED_MIGRATION, Ledger};
use sealbus_runtime::admin::{self, Health};
use sealbus_runtime::lifecycle::{Stage, Supervisor};
use sealbus_runtime::net;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

use super::{wait_for_broker, wait_for_ledger};
use crate::failure::Failure;

/// The open connections of a role between ledger and broker, with the supervisor of its tasks.
pub(crate) struct Connections {
    /// The ledger.
    pub ledger: Ledger,
    /// The broker.
    pub broker: Broker,
    /// The supervisor, on which the role spawns its tasks.
    pub supervisor: Supervisor,
    health: Arc<Health>,
}

impl Connections {
    /// Opens the ledger and connects to the broker as `client_name`, retrying until both can be reached; then serves
    /// metrics, and probes that check both.
    pub(crate) async fn open(
        settings: &Settings,
        client_name: &str,
        registry: Registry,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        let ledger = wait_for_ledger(settings, &shutdown).await?;
        let broker = wait_for_broker(settings, client_name, &shutdown).await?;
        let probed = broker.clone();
        let health = health(settings, &ledger, &shutdown).with_required("broker", move || {
            let connected = probed.is_connected();
            async move { if connected { Ok(()) } else { Err("away".to_owned()) } }
        });
        let health = Arc::new(health);
        let mut supervisor = supervisor(settings, shutdown);
        serve_admin(settings, health.clone(), registry, &mut supervisor).await?;
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

/// Serves probes and metrics on `SEALBUS_ADMIN_LISTEN`, as the last task of the supervisor to stop.
pub(crate) async fn serve_admin(
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

/// Returns a supervisor without tasks, which gives them `SEALBUS_SHUTDOWN_GRACE` to stop.
pub(crate) fn supervisor(settings: &Settings, shutdown: CancellationToken) -> Supervisor {
    Supervisor::new(shutdown, settings.get(table::SHUTDOWN_GRACE))
}
