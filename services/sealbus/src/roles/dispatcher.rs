//! `sealbus dispatcher`.

use sealbus_consumer::Settings as ConsumerSettings;
use sealbus_dispatcher::{Config, Metrics, Resources, file, run};
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::wiring::{self, Connections};

pub(super) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let subscriptions = file::load(&settings.require(table::SUBSCRIPTIONS)?)?;
    let keyring = wiring::keyring(settings)?;
    let catalog = wiring::catalog(settings)?;
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let mut connections = Connections::open(settings, "sealbus-dispatcher", registry, shutdown).await?;
    // A dispatcher may start before every relay, so it creates the streams if they do not exist.
    connections.broker.ensure_topology(&wiring::topology(settings)).await?;

    let config = Config {
        schema: settings.get(table::SINK_SCHEMA),
        settings: consumer_settings(settings)?,
        ..Config::new(subscriptions)
    };
    let (ledger, broker) = (connections.ledger.clone(), connections.broker.clone());
    let resources = Resources { ledger, broker, keyring, catalog, metrics };
    connections.supervisor.spawn("dispatcher", Stage::Drain, move |shutdown| run(config, resources, shutdown));
    connections.run().await
}

fn consumer_settings(settings: &Settings) -> Result<ConsumerSettings, Failure> {
    Ok(ConsumerSettings {
        sweep_every: settings.get(table::SWEEP_INTERVAL),
        sweep_age: settings.get(table::SWEEP_AGE),
        replay_every: settings.get(table::REPLAY_INTERVAL),
        ack_wait: settings.get(table::ACK_WAIT),
        progress_every: settings.get(table::PROGRESS_INTERVAL),
        handler_timeout: settings.get(table::HANDLER_TIMEOUT),
        queued_per_plan: settings.get(table::PLAN_QUEUE) as usize,
        queued_bytes_per_tenant: wiring::buffer_size(settings.get(table::TENANT_QUEUE))?,
        lease: settings.get(table::LEASE),
        renew_every: settings.get(table::LEASE_RENEW_INTERVAL),
        prune_every: settings.get(table::PRUNE_INTERVAL),
        prune_idle: settings.get(table::PRUNE_IDLE),
        shutdown_grace: settings.get(table::SHUTDOWN_GRACE) / 2,
        ..ConsumerSettings::default()
    })
}
