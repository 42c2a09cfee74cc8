//! `sealbus publisher`.

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::request::Limits;
use sealbus_ledger::append::{Appender, MAX_EVENTS, check_lock_table};
use sealbus_ledger::{ConnectionSettings, EXPECTED_MIGRATION};
use sealbus_publisher::{
    BrokerLink, Config, Memory, Metrics, Resources, health, register_appends, register_memory, run,
};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::memory::bounds;
use sealbus_runtime::net::{self, ConnectionLimits};
use sealbus_runtime::settings::{Settings, Size, table};
use sealbus_runtime::telemetry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::wiring;

/// Batches whose hints may wait to be sent. Further hints are dropped; the relay's outbox scan finds those events.
const HINT_CAPACITY: usize = 64;

/// How often the ledger is polled for new events while streams are open, and for a new checkpoint while requests wait until
/// their events are sealed.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    // The port is bound first, so that one that is in use is reported without waiting for the database.
    let listener = net::bind(table::LISTEN.name(), &settings.get(table::LISTEN)).await?;
    let keyring = wiring::keyring(settings)?;
    let catalog = wiring::catalog(settings)?;
    let config = Config {
        listener,
        token_file: settings.require(table::TOKENS)?,
        token_file_interval: settings.get(table::TOKENS_INTERVAL),
        limits: Limits {
            body_bytes: buffer_size(settings.get(table::MAX_BODY))?,
            event_bytes: buffer_size(settings.get(table::MAX_EVENT))?,
            members: settings.get(table::MAX_MEMBERS) as usize,
            events: MAX_EVENTS,
        },
        memory: Memory {
            bodies: bounds::REQUEST_BODIES.budget(settings),
            queued: bounds::QUEUED_CALLS.budget(settings),
            seal_waits: bounds::SEAL_WAITS.budget(settings),
            answers: bounds::ANSWERS.budget(settings),
            feeds: bounds::FEEDS.budget(settings),
        },
        stream_heartbeat_interval: settings.get(table::SSE_HEARTBEAT_INTERVAL),
        max_streams: settings.get(table::SSE_STREAMS) as usize,
        max_sealed_wait: settings.get(table::SEALED_WAIT),
        poll_interval: POLL_INTERVAL,
        connection_limits: ConnectionLimits::from_settings(settings),
        broker_url: settings.require(table::NATS_URL)?,
        broker_timeout: settings.get(table::NATS_TIMEOUT),
    };

    let batchers = settings.get(table::BATCHERS);
    let connections =
        wiring::connections(settings, |total, deadline| ConnectionSettings::publisher(total, batchers, deadline));
    let ledger = wiring::wait_for_ledger(settings, &connections, &shutdown).await?;
    let append = wiring::append_settings(settings);
    check_lock_table(&ledger, &append, settings.get(table::MAX_REPLICAS)).await?;
    ledger.keys().check(keyring.signer()?.kid()).await?;

    let broker = Arc::new(BrokerLink::default());
    let expected = settings.find(table::EXPECTED_MIGRATION).unwrap_or(EXPECTED_MIGRATION);
    let health = Arc::new(health(&ledger, &broker, expected, settings.get(table::CHECK_TIMEOUT), shutdown.clone()));
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    register_memory(&mut registry, &config.memory);
    wiring::register_connections(&mut registry, &ledger);
    let (hint, hints) = mpsc::channel(HINT_CAPACITY);
    let appender = Appender::start(&ledger, &keyring, &append, Some(hint))?;
    register_appends(&mut registry, appender.metrics());
    let mut supervisor = wiring::supervisor(settings, health.clone(), registry, shutdown).await?;

    let resources = Resources {
        ledger: ledger.clone(),
        appender: appender.clone(),
        hints,
        broker,
        keyring: Arc::new(keyring),
        catalog,
        clock: Arc::new(SystemClock),
        health: health.clone(),
        metrics,
    };
    supervisor.spawn("publisher", Stage::Intake, move |shutdown| run(config, resources, shutdown));
    health.started();
    let outcome = supervisor.run().await;
    appender.deregister().await;
    ledger.close().await;
    Ok(outcome?)
}

/// Returns a size as the length of a buffer in memory, unless the address space of this platform is smaller.
fn buffer_size(size: Size) -> Result<usize, Failure> {
    let bytes = size.bytes();
    usize::try_from(bytes).map_err(|_| Failure::usage(format!("{bytes} bytes are more than this platform can address")))
}
