//! `sealbus witness`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use sealbus_core::log::policy::Policy;
use sealbus_runtime::admin::Health;
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::net::{self, Patience};
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use sealbus_witness::{Config, Metrics, Resources, Witness, run as cosign, system_clock};
use tokio_util::sync::CancellationToken;

use super::{Role, parts};
use crate::failure::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Begin with a log of the policy that the witness has never cosigned, and end; once for each log
    #[arg(long, value_name = "ORIGIN")]
    begin: Option<String>,
}

pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.begin {
        Some(origin) => begin(&origin, &Settings::from_environment()?),
        None => super::run(Role::Witness).await,
    }
}

fn begin(origin: &str, settings: &Settings) -> Result<ExitCode, Failure> {
    let (keyring, name) = (parts::keyring(settings)?, settings.require(table::WITNESS_NAME)?);
    let (policy, folder) = (policy(settings)?, settings.require(table::WITNESS_FOLDER)?);
    Witness::begin(origin, &name, &keyring, &policy, &folder, system_clock)?;
    eprintln!("sealbus: the witness {name} begins with {origin}; its memory is in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

pub async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let listener = net::bind(table::LISTEN.name(), &settings.get(table::LISTEN)).await?;
    let (keyring, name) = (parts::keyring(settings)?, settings.require(table::WITNESS_NAME)?);
    let folder = settings.require(table::WITNESS_FOLDER)?;
    let witness = Witness::open(&name, &keyring, policy(settings)?, &folder, system_clock)?;
    tracing::info!(key = %witness.verifier_key(), "logs and verifiers pin this key");
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let health = Arc::new(Health::new(settings.get(table::CHECK_TIMEOUT), shutdown.clone()));
    let mut supervisor = parts::supervisor(settings, shutdown);
    parts::admin(settings, health.clone(), registry, &mut supervisor).await?;

    let patience =
        Patience { headers: settings.get(table::HEADER_TIMEOUT), drain: settings.get(table::SHUTDOWN_GRACE) / 2 };
    let (config, resources) = (Config::new(listener, patience), Resources { witness, metrics });
    supervisor.spawn("witness", Stage::Intake, move |shutdown| cosign(config, resources, shutdown));
    health.started();
    Ok(supervisor.run().await?)
}

fn policy(settings: &Settings) -> Result<Policy, Failure> {
    let path = settings.require(table::POLICY)?;
    let wrong =
        |path: &Path, error: &dyn std::error::Error| Failure::new(format!("the policy {}: {error}", path.display()));
    let file = std::fs::read(&path).map_err(|error| wrong(&path, &error))?;
    Policy::parse(&file).map_err(|error| wrong(&path, &error))
}
