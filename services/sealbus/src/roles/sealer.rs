//! `sealbus sealer`.

use std::convert::Infallible;
use std::sync::Arc;

use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use sealbus_sealer::{Config, Metrics, Resources};
use tokio_util::sync::CancellationToken;

use super::parts;
use crate::failure::Failure;

pub async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let ledger = parts::ledger(settings, &shutdown).await?;
    let mut registry = telemetry::metrics::registry();
    let resources = Resources { ledger: ledger.clone(), metrics: Metrics::register(&mut registry) };
    let config = Config {
        batch: settings.get(table::SEAL_BATCH),
        wait: settings.get(table::SEAL_WAIT),
        retry_stopped: settings.get(table::SEAL_RETRY),
        ..Config::default()
    };
    let health = Arc::new(parts::health(settings, &ledger, &shutdown));
    let mut supervisor = parts::supervisor(settings, shutdown);
    parts::admin(settings, health.clone(), registry, &mut supervisor).await?;
    supervisor.spawn("sealer", Stage::Drain, move |shutdown| async move {
        sealbus_sealer::run(config, resources, shutdown).await;
        Ok::<_, Infallible>(())
    });
    health.started();
    supervisor.run().await?;
    ledger.close().await;
    Ok(())
}
