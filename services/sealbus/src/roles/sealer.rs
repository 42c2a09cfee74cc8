//! `sealbus sealer`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use sealbus_ledger::ConnectionSettings;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use sealbus_sealer::{Config, Metrics, Resources};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::wiring::{self, Connections};

/// How often the log and its queue are measured for the metrics.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let mut connections =
        Connections::open(settings, ConnectionSettings::background, "sealbus-sealer", registry, shutdown).await?;

    let config = Config {
        max_batch_events: settings.get(table::MAX_SEAL_EVENTS),
        queue_poll_interval: settings.get(table::SEAL_WAIT),
        stopped_plan_retry_interval: settings.get(table::SEAL_RETRY_INTERVAL),
        checkpoint_interval: settings.get(table::CHECKPOINT_INTERVAL),
        heartbeat_interval: settings.get(table::HEARTBEAT_INTERVAL),
        measure_interval: MEASURE_INTERVAL,
    };
    let signer = wiring::log_signer(settings, &connections.ledger)?;
    let resources = Resources {
        witnesses: wiring::witnesses(settings, &signer)?,
        signer,
        ledger: connections.ledger.clone(),
        broker: connections.broker.clone(),
        anchors: wiring::anchors(settings, &connections.broker),
        clock: Arc::new(SystemClock),
        metrics,
    };
    connections.supervisor.spawn("sealer", Stage::Drain, move |shutdown| {
        sealbus_sealer::run(config, resources, shutdown).map(Ok::<_, Infallible>)
    });
    connections.run().await
}
