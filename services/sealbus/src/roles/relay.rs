//! `sealbus relay`.

use std::sync::Arc;

use sealbus_broker::topology::TopologySettings;
use sealbus_relay::{Config, Metrics, Resources, run};
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use super::parts;
use crate::failure::Failure;

pub async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let keyring = parts::keyring(settings)?;
    let ledger = parts::ledger(settings, &shutdown).await?;
    let broker = parts::broker(settings, "sealbus-relay", &shutdown).await?;
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let probed = broker.clone();
    let health = parts::health(settings, &ledger, &shutdown).needs("broker", move || parts::broker_check(&probed));
    let health = Arc::new(health);
    let mut supervisor = parts::supervisor(settings, shutdown);
    parts::admin(settings, health.clone(), registry, &mut supervisor).await?;

    let config = Config {
        topology: topology(settings),
        window: settings.get(table::RELAY_WINDOW) as usize,
        sweep: settings.get(table::RELAY_SWEEP),
        full_sweep: settings.get(table::RELAY_FULL_SWEEP),
        lease: settings.get(table::LEASE),
        renew: settings.get(table::LEASE_RENEW),
        ..Config::new(parts::holder("relay"))
    };
    let resources = Resources { ledger: ledger.clone(), broker: broker.clone(), keyring: Arc::new(keyring), metrics };
    supervisor.spawn("relay", Stage::Drain, move |shutdown| run(config, resources, shutdown));
    health.started();
    supervisor.run().await?;
    broker.close().await;
    ledger.close().await;
    Ok(())
}

/// The streams as the settings want them.
pub fn topology(settings: &Settings) -> TopologySettings {
    TopologySettings {
        replicas: settings.get(table::STREAM_REPLICAS) as usize,
        max_age: settings.get(table::STREAM_MAX_AGE),
        max_bytes: settings.get(table::STREAM_MAX_BYTES).bytes(),
    }
}
