//! The publisher: takes events over HTTP, and shows history.
//!
//! A request's way: `router` finds the endpoint, `caller` knows the token and the tenant, `intake` reads the body
//! within its caps, `sealbus_core::request` or `sealbus_core::cloudevents` make events of it, `publishing` has them
//! appended by the ledger, `encrypting` what is to be encrypted first, `reading` opens what the caller may see into, and
//! `answers` shows the records. Whatever goes wrong on the way is a `problem`.
//! Each endpoint is a file of `endpoints`; live streams are `streams`.
//!
//! Replicas hold nothing that a restart would lose: the tokens' file, the window of live streams and the connections are
//! all made anew. So any number of them serve one ledger.

mod app;
pub mod auth;
mod clock;
mod endpoints;
mod http;
mod metrics;
mod publish;
mod read;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealbus_broker::BrokerConfig;
use sealbus_core::catalog::Catalog;
use sealbus_core::clock::Clock;
use sealbus_core::request::Limits;
use sealbus_core::seal::Keyring;
use sealbus_ledger::append::{Appender, Hint};
use sealbus_ledger::{Ledger, LedgerError};
use sealbus_runtime::admin::Health;
use sealbus_runtime::net::{self, ConnectionTimeouts};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::auth::tokens::{Tokens, TokensError};
use crate::http::body::Intake;
pub use crate::http::readiness::health;
pub use crate::metrics::Metrics;
pub use crate::publish::hints::BrokerLink;
use crate::publish::seal_watch::SealWatch;
use crate::read::streams::Hub;

/// Plans that are verified at once.
const VERIFICATIONS: usize = 4;

/// How a publisher runs.
pub struct Config {
    /// Where it listens.
    pub listener: TcpListener,
    /// The token file.
    pub tokens: PathBuf,
    /// How often the token file is looked at.
    pub tokens_interval: Duration,
    /// What one call may hold.
    pub limits: Limits,
    /// Bytes of bodies that may be in hand at once.
    pub intake_bytes: usize,
    /// How long a call waits for room before it is refused as `overloaded`.
    pub intake_wait: Duration,
    /// How long a body may take to come in.
    pub body_time: Duration,
    /// How often a silent stream says that it lives.
    pub heartbeat: Duration,
    /// How often the ledger is asked what is new, while there are streams.
    pub stream_tick: Duration,
    /// How long a call with `wait=sealed` waits at most.
    pub sealed_wait: Duration,
    /// How often the shown checkpoint is looked at, while such calls wait.
    pub sealed_tick: Duration,
    /// Streams that may be open at once.
    pub streams: usize,
    /// How long a caller may take with the headers of a request, and once the publisher is told to stop with its call.
    pub timeouts: ConnectionTimeouts,
    /// Where hints go.
    pub broker: BrokerConfig,
}

impl Config {
    /// The default settings.
    pub fn new(listener: TcpListener, tokens: PathBuf, broker: BrokerConfig) -> Self {
        Self {
            listener,
            tokens,
            broker,
            tokens_interval: Duration::from_secs(5),
            limits: Limits::default(),
            intake_bytes: 16 * 1024 * 1024,
            intake_wait: Duration::from_secs(2),
            body_time: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            stream_tick: Duration::from_millis(100),
            sealed_wait: Duration::from_secs(10),
            sealed_tick: Duration::from_millis(100),
            streams: 1_000,
            timeouts: ConnectionTimeouts { headers: Duration::from_secs(75), drain: Duration::from_secs(20) },
        }
    }
}

/// What a publisher is given, open already.
pub struct Resources {
    /// Where history is read.
    pub ledger: Ledger,
    /// Where events go.
    pub appender: Appender,
    /// What the appender offers after its commits.
    pub hints: mpsc::Receiver<Vec<Hint>>,
    /// The connection for hints, which [`run`] makes; [`health`] asks it.
    pub broker: Arc<BrokerLink>,
    /// What checks seals.
    pub keyring: Arc<Keyring>,
    /// Which types there are.
    pub catalog: Arc<Catalog>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The probes, served beside the API.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Why a publisher does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token file will not do.
    #[error("the publisher has no tokens")]
    Tokens(#[source] TokensError),
    /// Payloads are to be encrypted, and no data key can be made.
    #[error(
        "the catalog wants {0} encrypted, and the keyring has no active kek- key to wrap data keys under: add one \
         (32 random bytes in base64 as secret) on every publisher, or have its content plain or hash-only"
    )]
    NoKek(String),
    /// Erasures could not be done again.
    #[error(
        "the erasures that the ledger tells could not be looked at, and nothing may be read before they are carried out"
    )]
    Erasures(#[source] LedgerError),
}

/// Serves until `shutdown` fires; then takes no more, finishes what is under way, and ends.
///
/// # Errors
/// Where the token file does not read at the start, the catalog wants payloads encrypted and the keyring cannot, or the ledger
/// does not tell its erasures.
pub async fn run(config: Config, resources: Resources, shutdown: CancellationToken) -> Result<(), Error> {
    if let Some(name) = resources.catalog.encrypts().filter(|_| !resources.keyring.wraps_data_keys()) {
        return Err(Error::NoKek(name.to_owned()));
    }
    // A backup that was restored may have brought keys back.
    let redone = resources.ledger.data_keys().redo_erasures().await.map_err(Error::Erasures)?;
    if redone > 0 {
        tracing::warn!(keys = redone, "data keys that were erased before were here again, and are destroyed");
    }
    let tokens = Arc::new(Tokens::load(&config.tokens).map_err(Error::Tokens)?);
    let hub = Arc::new(Hub::new(resources.ledger.clone()));
    let watch = Arc::new(SealWatch::new(resources.ledger.clone(), config.intake_bytes));
    let app = Arc::new(App {
        ledger: resources.ledger,
        appender: resources.appender,
        keyring: resources.keyring,
        catalog: resources.catalog,
        clock: resources.clock,
        tokens: Arc::clone(&tokens),
        limits: config.limits,
        intake: Intake::new(
            config.intake_bytes,
            config.limits.body_bytes,
            config.intake_wait,
            config.body_time,
            resources.metrics.bodies.clone(),
        ),
        hub: Arc::clone(&hub),
        watch: Arc::clone(&watch),
        sealed_wait: config.sealed_wait,
        verifications: Semaphore::new(VERIFICATIONS),
        streams: Arc::new(Semaphore::new(config.streams)),
        heartbeat: config.heartbeat,
        shutdown: shutdown.clone(),
        metrics: resources.metrics.clone(),
    });
    // The helpers outlive the calls that are under way, and end with this function whichever way it ends.
    let helpers = CancellationToken::new();
    let _ended = helpers.clone().drop_guard();
    let serving = net::serve(config.listener, http::router::router(app, resources.health), config.timeouts, shutdown);
    let following = tokens.follow(config.tokens_interval, helpers.clone());
    let feeding = hub.run(config.stream_tick, helpers.clone());
    let watching = watch.run(config.sealed_tick, helpers.clone());
    let hinting = resources.broker.run(config.broker, resources.hints, resources.metrics, helpers.clone());
    let serving = async {
        serving.await;
        helpers.cancel();
    };
    tokio::join!(serving, following, feeding, watching, hinting);
    Ok(())
}
