//! `sealbus publisher`.

use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::BrokerConfig;
use sealbus_core::request::Limits;
use sealbus_ledger::EXPECTED_MIGRATION;
use sealbus_ledger::append::{Appender, check_lock_table};
use sealbus_publisher::{BrokerLink, Config, Metrics, Resources, health, run};
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::net::{self, ConnectionTimeouts};
use sealbus_runtime::settings::{Settings, Size, table};
use sealbus_runtime::telemetry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::wiring;

/// Batches whose hints may wait to be sent; what finds no room is found by the relay's sweep.
const HINTS: usize = 64;

/// How long a request waits for memory for its body before it is refused as `overloaded`.
const BODY_WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take to send a body.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the ledger is polled for new events while streams are open, and for a new checkpoint while requests wait until
/// their events are sealed.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    // The port first, so that one that is taken is told before anything else is waited for.
    let listener = net::bind(table::LISTEN.name(), &settings.get(table::LISTEN)).await?;
    let keyring = wiring::keyring(settings)?;
    let catalog = wiring::catalog(settings)?;
    let ledger = wiring::ledger(settings, &shutdown).await?;
    let append = wiring::append_settings(settings);
    check_lock_table(&ledger, &append, settings.get(table::MAX_REPLICAS)).await?;
    ledger.keys().check(keyring.signer()?.kid()).await?;

    let (hint, hints) = mpsc::channel(HINTS);
    let appender = Appender::start(&ledger, &keyring, &append, Some(hint))?;
    let broker = Arc::new(BrokerLink::default());
    let expected = settings.find(table::EXPECTED_MIGRATION).unwrap_or(EXPECTED_MIGRATION);
    let health = Arc::new(health(&ledger, &broker, expected, settings.get(table::CHECK_TIMEOUT), shutdown.clone()));
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let mut supervisor = wiring::supervisor(settings, shutdown);
    wiring::admin(settings, health.clone(), registry, &mut supervisor).await?;

    let nats = BrokerConfig::new(settings.require(table::NATS_URL)?.expose(), "sealbus-publisher");
    let config = Config {
        listener,
        token_file: settings.require(table::TOKENS)?,
        token_file_interval: settings.get(table::TOKENS_INTERVAL),
        limits: limits(settings),
        max_body_bytes_in_flight: bytes(settings.get(table::MAX_INTAKE)),
        body_wait_timeout: BODY_WAIT_TIMEOUT,
        body_read_timeout: BODY_READ_TIMEOUT,
        stream_heartbeat_interval: settings.get(table::SSE_HEARTBEAT_INTERVAL),
        stream_poll_interval: POLL_INTERVAL,
        max_streams: settings.get(table::SSE_STREAMS) as usize,
        max_sealed_wait: settings.get(table::SEALED_WAIT),
        sealed_poll_interval: POLL_INTERVAL,
        connection_timeouts: ConnectionTimeouts {
            headers: settings.get(table::HEADER_TIMEOUT),
            drain: settings.get(table::SHUTDOWN_GRACE) / 2,
        },
        broker: nats,
    };
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
    supervisor.run().await?;
    appender.retreat().await;
    ledger.close().await;
    Ok(())
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        body_bytes: bytes(settings.get(table::MAX_BODY)),
        event_bytes: bytes(settings.get(table::MAX_EVENT)),
        members: settings.get(table::MAX_MEMBERS) as usize,
        ..Limits::default()
    }
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}
