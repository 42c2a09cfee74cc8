//! What every endpoint works with.

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::catalog::Catalog;
use sealbus_core::clock::Clock;
use sealbus_core::request::Limits;
use sealbus_core::seal::Keyring;
use sealbus_ledger::Ledger;
use sealbus_ledger::append::Appender;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::tokens::Tokens;
use crate::http::body::Intake;
use crate::metrics::Metrics;
use crate::publish::seal_watch::SealWatch;
use crate::read::streams::Hub;

/// The publisher's parts. Nothing in here outlives a restart: losing it loses no event, only streams that are resumed.
pub struct App {
    /// Where events are, and where they go.
    pub ledger: Ledger,
    /// The only way into it.
    pub appender: Appender,
    /// What checks seals.
    pub keyring: Arc<Keyring>,
    /// Which types there are.
    pub catalog: Arc<Catalog>,
    /// The time of day, for dates in tokens. The time that an event records is the database's, not this one.
    pub clock: Arc<dyn Clock>,
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// What one call may hold.
    pub limits: Limits,
    /// How bodies come in.
    pub intake: Intake,
    /// What live streams share.
    pub hub: Arc<Hub>,
    /// Who waits for events to be sealed.
    pub watch: Arc<SealWatch>,
    /// How long a call may wait for that.
    pub sealed_wait: Duration,
    /// Verifications that may run at once: each reads a whole plan.
    pub verifications: Semaphore,
    /// Streams that may be open at once.
    pub streams: Arc<Semaphore>,
    /// How often a silent stream says that it lives.
    pub heartbeat: Duration,
    /// Fires when streams are to end.
    pub shutdown: CancellationToken,
    /// What is counted.
    pub metrics: Metrics,
}
