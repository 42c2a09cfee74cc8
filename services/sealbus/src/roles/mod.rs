//! The roles: building the configuration and resources of each from the settings, and running it.
//!
//! `sealbus <role>` and `sealbus dev` both call `serve` with the settings of one process. `wiring` opens what roles share:
//! ledger, broker, keys, catalog, probes.

mod dispatcher;
mod publisher;
mod relay;
mod sealer;
pub(crate) mod witness;

use sealbus_runtime::lifecycle::shutdown_on_signals;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Relay,
    Sealer,
    Dispatcher,
    Witness,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [Self::Publisher, Self::Relay, Self::Sealer, Self::Dispatcher, Self::Witness];

    /// Returns the name of the role, as in the command and in the table of settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Relay => "relay",
            Self::Sealer => "sealer",
            Self::Dispatcher => "dispatcher",
            Self::Witness => "witness",
        }
    }
}

/// Runs a role, configured by the environment, until a signal stops it.
pub(crate) async fn run(role: Role) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    telemetry::start(&settings.get(table::LOG), settings.get(table::LOG_FORMAT))?;
    for warning in settings.warnings() {
        tracing::warn!(warning, "the settings need attention");
    }
    serve(role, &settings, shutdown_on_signals()?).await
}

/// Runs a role until `shutdown` is cancelled and the work in flight is done.
pub(crate) async fn serve(role: Role, settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    settings.check_role(role.name())?;
    match role {
        Role::Publisher => publisher::serve(settings, shutdown).await,
        Role::Relay => relay::serve(settings, shutdown).await,
        Role::Sealer => sealer::serve(settings, shutdown).await,
        Role::Dispatcher => dispatcher::serve(settings, shutdown).await,
        Role::Witness => witness::serve(settings, shutdown).await,
    }
}
