//! `sealbus dispatcher`.

use sealbus_consumer::Settings as ConsumerSettings;
use sealbus_dispatcher::{Config, Metrics, Resources, file, run};
use sealbus_ledger::ConnectionSettings;
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
    let mut connections =
        Connections::open(settings, ConnectionSettings::consumer, "sealbus-dispatcher", registry, shutdown).await?;
    // A dispatcher may start before every relay, so it creates the streams if they do not exist.
    connections.broker.ensure_topology(&wiring::topology(settings)).await?;

    let (schema, consumer) = (settings.get(table::SINK_SCHEMA), ConsumerSettings::from(settings));
    let config = Config { subscriptions, schema, settings: consumer };
    let (ledger, broker) = (connections.ledger.clone(), connections.broker.clone());
    let resources = Resources { ledger, broker, keyring, catalog, metrics };
    connections.supervisor.spawn("dispatcher", Stage::Drain, move |shutdown| run(config, resources, shutdown));
    connections.run().await
}
