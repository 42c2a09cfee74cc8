//! Probes, metrics, and the supervisor of a role's tasks.

use std::convert::Infallible;
use std::sync::Arc;

use sealbus_ledger::{EXPECTED_MIGRATION, Ledger};
use sealbus_runtime::admin::{self, Health};
use sealbus_runtime::lifecycle::{Stage, Supervisor};
use sealbus_runtime::net;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Returns readiness checks of the database and of its newest migration, which has to be `SEALBUS_EXPECTED_MIGRATION` or
/// the one that this program was built with.
pub(super) fn health(settings: &Settings, ledger: &Ledger, shutdown: &CancellationToken) -> Health {
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
