//! The publisher: accepts events over HTTP and serves the history.
//!
//! A request passes these modules:
//! 1. `router` finds the endpoint in `endpoints`.
//! 2. `auth` authenticates the token and decides the tenant.
//! 3. `http` reads parameters and the body within their limits. Every error becomes a problem.
//! 4. `publish` prepares events, encrypts those whose type demands it, appends them to the ledger, and waits until they are
//!    sealed if the request asks for it.
//! 5. `read` reads stored events, opens encrypted payloads for clients that may see them, and feeds live streams.
//!
//! A replica keeps no state that a restart would lose: the tokens are a file, and streams resume. Any number of replicas serve
//! one ledger.

mod app;
mod auth;
mod endpoints;
mod http;
mod metrics;
mod publish;
mod read;
mod router;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealbus_core::catalog::Catalog;
use sealbus_core::clock::Clock;
use sealbus_core::request::Limits;
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{Appender, Hint};
use sealbus_ledger::{Ledger, LedgerError};
use sealbus_runtime::admin::Health;
use sealbus_runtime::memory::Budget;
use sealbus_runtime::net::{self, ConnectionLimits};
use sealbus_runtime::settings::SecretUrl;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::app::App;
pub use crate::auth::TokenFileError;
use crate::auth::Tokens;
use crate::http::{AnswerMemory, BodyReader};
pub use crate::metrics::{Metrics, register_appends, register_memory};
pub use crate::publish::BrokerLink;
use crate::publish::{Encryption, Publishing, SealWaiting, SealWatch};
use crate::read::{Hub, OpenStreams, Reading, Streams};

/// The maximum number of verifications at a time. Each reads a whole plan.
const MAX_VERIFICATIONS: usize = 4;

/// The settings of a publisher.
pub struct Config {
    /// The socket on which the API is served.
    pub listener: TcpListener,
    /// The token file.
    pub token_file: PathBuf,
    /// How often the token file is checked for changes.
    pub token_file_interval: Duration,
    /// The limits of a publish request.
    pub limits: Limits,
    /// What a replica holds in memory for its clients.
    pub memory: Memory,
    /// The interval of heartbeats on a stream without events.
    pub stream_heartbeat_interval: Duration,
    /// How often the ledger is polled for new events while streams are open, and for a new checkpoint while requests wait
    /// until their events are sealed.
    pub poll_interval: Duration,
    /// The maximum number of open streams.
    pub max_streams: usize,
    /// How long a request with `wait=sealed` waits at most.
    pub max_sealed_wait: Duration,
    /// What clients are granted: their number, and how long they may take.
    pub connection_limits: ConnectionLimits,
    /// The URLs of the broker that receives hints.
    pub broker_url: SecretUrl,
    /// How long the broker may take to answer.
    pub broker_timeout: Duration,
}

/// The budgets of what a replica holds in memory for its clients.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Request bodies that are received or handled, and the answers to them. Tokens share it.
    pub bodies: Budget,
    /// Calls that wait for a batch or are in one. Tenants share it.
    pub queued: Budget,
    /// Events of calls that wait until they are sealed. Tokens share it.
    pub seal_waits: Budget,
    /// Events that are read for clients and written to them, in pages and streams. Tokens share it.
    pub answers: Budget,
    /// The newest events of followed plans and of the log. Tenants share it.
    pub feeds: Budget,
}

/// The open resources of a publisher.
pub struct Resources {
    /// The ledger, for reading.
    pub ledger: Ledger,
    /// Appends events to the ledger.
    pub appender: Appender,
    /// The hints of the appender, one batch per commit.
    pub hints: mpsc::Receiver<Vec<Hint>>,
    /// The connection to the broker, which [`run`] establishes and [`health`] reports.
    pub broker: Arc<BrokerLink>,
    /// The keys that check seals and wrap data keys.
    pub keyring: Arc<Keyring>,
    /// The event types.
    pub catalog: Arc<Catalog>,
    /// The clock against which the expiry of tokens is checked. Events record the database's time instead.
    pub clock: Arc<dyn Clock>,
    /// The health checks, which are also served on the API's socket.
    pub health: Arc<Health>,
    /// The counters.
    pub metrics: Metrics,
}

/// A publisher that does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token file cannot be used.
    #[error("cannot load the tokens")]
    Tokens(#[source] TokenFileError),
    /// The catalog has types with encrypted content, and the keyring cannot wrap data keys.
    #[error(
        "the catalog has the type {0} with encrypted content, but the keyring has no active kek- key to wrap data keys: add \
         one (32 random bytes in base64 as secret) on every publisher, or change the type's content to plain or hash-only"
    )]
    NoKek(String),
    /// Erasures could not be applied to a restored ledger.
    #[error("cannot apply the recorded erasures, which must precede any read")]
    Erasures(#[source] LedgerError),
}

/// Serves the API until `shutdown` fires. Then it accepts no new requests, finishes those in flight, and returns.
///
/// # Errors
/// [`Error`] if the token file cannot be loaded, the keyring cannot wrap the data keys that the catalog demands, or the
/// recorded erasures cannot be read.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), Error> {
    let Resources { ledger, appender, hints, broker, keyring, catalog, clock, health, metrics } = resources;
    if let Some(name) = catalog.encrypts().filter(|_| !keyring.wraps_data_keys()) {
        return Err(Error::NoKek(name.to_owned()));
    }
    // Restoring a backup may have brought erased keys back.
    let erased = ledger.data_keys().redo_erasures().await.map_err(Error::Erasures)?;
    if erased > 0 {
        tracing::warn!(keys = erased, "erased data keys were present again, as after a restore; deleted them");
    }
    let tokens = Tokens::load(&config.token_file, clock).map_err(Error::Tokens)?;
    let hub = Arc::new(Hub::new(ledger.clone(), config.memory.feeds));
    let watch = Arc::new(SealWatch::new(ledger.clone()));
    let answers = AnswerMemory::new(config.memory.answers);
    let reading = Reading::new(ledger.clone(), Arc::clone(&keyring));
    let app = App {
        tokens: tokens.clone(),
        bodies: BodyReader::new(config.limits.body_bytes, config.memory.bodies, metrics.bodies.clone()),
        publishing: Publishing {
            memory: config.memory.queued,
            ledger: ledger.clone(),
            appender,
            encryption: Encryption::new(ledger.clone(), Arc::clone(&keyring)),
            reading: reading.clone(),
            hub: Arc::clone(&hub),
            catalog,
            limits: config.limits,
            metrics: metrics.clone(),
        },
        seal_waiting: SealWaiting {
            ledger: ledger.clone(),
            watch: Arc::clone(&watch),
            memory: config.memory.seal_waits,
            max_wait: config.max_sealed_wait,
            shutdown: shutdown.clone(),
        },
        streams: Arc::new(Streams {
            hub: Arc::clone(&hub),
            ledger: ledger.clone(),
            reading: reading.clone(),
            tokens: tokens.clone(),
            memory: answers.clone(),
            open: OpenStreams::default(),
            places: Budget::new("streams", config.max_streams),
            heartbeat_interval: config.stream_heartbeat_interval,
            shutdown: shutdown.clone(),
            metrics: metrics.clone(),
        }),
        answers,
        reading,
        verifications: Semaphore::new(MAX_VERIFICATIONS),
        ledger,
        keyring,
        metrics: metrics.clone(),
    };
    let streams = Arc::clone(&app.streams);
    // The background tasks outlive the requests in flight, and end with this function.
    let background = CancellationToken::new();
    let _cancel_on_drop = background.clone().drop_guard();
    let serving = async {
        net::serve(config.listener, router::router(Arc::new(app), health), config.connection_limits, shutdown).await;
        background.cancel();
    };
    tokio::join!(
        serving,
        tokens.watch(config.token_file_interval, background.clone()),
        streams.end_revoked(config.token_file_interval, background.clone()),
        hub.run(config.poll_interval, background.clone()),
        watch.run(config.poll_interval, background.clone()),
        broker.run(&config.broker_url, config.broker_timeout, hints, metrics, background.clone()),
    );
    Ok(())
}

/// Returns the health checks of a publisher: `database`, `migration` and `broker`.
///
/// The publisher is ready when the database is reachable and at the expected migration. The broker does not affect readiness,
/// because events wait in the outbox while it is unreachable. `check_timeout` limits each check. The publisher stops being
/// ready when `shutdown` fires.
pub fn health(
    ledger: &Ledger,
    broker: &Arc<BrokerLink>,
    expected_migration: i64,
    check_timeout: Duration,
    shutdown: CancellationToken,
) -> Health {
    let (database, migration, broker) = (ledger.clone(), ledger.clone(), Arc::clone(broker));
    Health::new(check_timeout, shutdown)
        .with_required("database", move || {
            let ledger = database.clone();
            async move { ledger.ping().await.map_err(|_| "away".to_owned()) }
        })
        .with_required("migration", move || {
            let ledger = migration.clone();
            async move { sealbus_ledger::check_migration(&ledger, expected_migration).await }
        })
        .with_informational("broker", move || {
            let connected = broker.is_connected();
            async move { if connected { Ok(()) } else { Err("away".to_owned()) } }
        })
}
