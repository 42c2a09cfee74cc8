//! `sealbus relay`.

use std::sync::Arc;
use std::time::Duration;

use sealbus_ledger::ConnectionSettings;
use sealbus_relay::{Config, Metrics, Resources, run};
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::failure::Failure;
use crate::wiring::{self, Connections};

/// The number of rows that one query of the outbox reads.
const PAGE_ROWS: u32 = 500;
/// The maximum bytes of events in memory per partition.
const MAX_MEMORY_BYTES: usize = 4 << 20;
/// The shortest interval between two movements of the low-water bound.
const LOW_WATER_INTERVAL: Duration = Duration::from_secs(2);
/// How often a beacon is recorded while messages are acknowledged.
const BEACON_INTERVAL: Duration = Duration::from_secs(10);
/// How often the outbox is measured for the metrics.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);
/// How long acknowledgements are awaited at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let keyring = Arc::new(wiring::keyring(settings)?);
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let mut connections =
        Connections::open(settings, ConnectionSettings::background, "sealbus-relay", registry, shutdown).await?;

    let config = Config {
        owner: format!("relay-{}", Uuid::new_v4().simple()),
        lease_kind: "relay".to_owned(),
        topology: wiring::topology(settings),
        max_in_flight: settings.get(table::RELAY_WINDOW) as usize,
        page_rows: PAGE_ROWS,
        max_memory_bytes: MAX_MEMORY_BYTES,
        scan_interval: settings.get(table::RELAY_SCAN_INTERVAL),
        full_scan_interval: settings.get(table::RELAY_FULL_SCAN_INTERVAL),
        low_water_interval: LOW_WATER_INTERVAL,
        lease_duration: settings.get(table::LEASE),
        lease_renew_interval: settings.get(table::LEASE_RENEW_INTERVAL),
        beacon_interval: BEACON_INTERVAL,
        beacon_retention: settings.get(table::BEACON_RETENTION),
        measure_interval: MEASURE_INTERVAL,
        drain_timeout: DRAIN_TIMEOUT,
    };
    let resources =
        Resources { ledger: connections.ledger.clone(), broker: connections.broker.clone(), keyring, metrics };
    connections.supervisor.spawn("relay", Stage::Drain, move |shutdown| run(config, resources, shutdown));
    connections.run().await
}
