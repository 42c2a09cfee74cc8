//! `sealbus relay`.

use std::sync::Arc;

use sealbus_relay::{Config, Metrics, Resources, run};
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::wiring::{self, Connections};

pub(super) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let keyring = Arc::new(wiring::keyring(settings)?);
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let mut connections = Connections::open(settings, "sealbus-relay", registry, shutdown).await?;

    let config = Config {
        topology: wiring::topology(settings),
        window: settings.get(table::RELAY_WINDOW) as usize,
        sweep: settings.get(table::RELAY_SWEEP_INTERVAL),
        full_sweep: settings.get(table::RELAY_FULL_SWEEP_INTERVAL),
        lease: settings.get(table::LEASE),
        renew: settings.get(table::LEASE_RENEW_INTERVAL),
        ..Config::new(wiring::lease_owner("relay"))
    };
    let resources =
        Resources { ledger: connections.ledger.clone(), broker: connections.broker.clone(), keyring, metrics };
    connections.supervisor.spawn("relay", Stage::Drain, move |shutdown| run(config, resources, shutdown));
    connections.run().await
}
