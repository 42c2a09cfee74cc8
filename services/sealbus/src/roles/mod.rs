//! The roles: each one's configuration and resources, out of the settings, and its life.
//!
//! `sealbus <role>` and `sealbus dev` go the same way: `serve` with the settings of one process. Everything that a role
//! shares with the others, ledger, broker, keys, catalog, probes, is opened in `wiring`.

mod dispatcher;
mod publisher;
mod relay;
mod sealer;
pub(crate) mod witness;

use std::process::ExitCode;

use sealbus_runtime::lifecycle::shutdown_on_signals;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// What a process can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Accepts and reads.
    Publisher,
    /// Outbox to JetStream.
    Relay,
    /// The order of the log.
    Sealer,
    /// Subscriptions and their sinks.
    Dispatcher,
    /// Cosignatures for other deployments' logs.
    Witness,
}

/// Runs a role in this process until a signal ends it.
pub(crate) async fn run(role: Role) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    telemetry::start(&settings.get(table::LOG), settings.get(table::LOG_FORMAT), Vec::new())?;
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    serve(role, &settings, shutdown_on_signals()?).await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a role by these settings until `shutdown` fires, and then until its work in hand is done.
pub(crate) async fn serve(role: Role, settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    match role {
        Role::Publisher => publisher::serve(settings, shutdown).await,
        Role::Relay => relay::serve(settings, shutdown).await,
        Role::Sealer => sealer::serve(settings, shutdown).await,
        Role::Dispatcher => dispatcher::serve(settings, shutdown).await,
        Role::Witness => witness::serve(settings, shutdown).await,
    }
}
