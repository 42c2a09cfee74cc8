//! The connections of a role between ledger and broker.

use std::sync::Arc;

use sealbus_broker::Broker;
use sealbus_ledger::Ledger;
use sealbus_runtime::admin::Health;
use sealbus_runtime::lifecycle::Supervisor;
use sealbus_runtime::settings::Settings;
use sealbus_runtime::telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

use super::health::health;
use super::{serve_admin, supervisor, wait_for_broker, wait_for_ledger};
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
