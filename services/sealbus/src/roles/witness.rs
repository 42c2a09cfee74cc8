//! `sealbus witness`.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;
use std::sync::Arc;

use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::WitnessSigner;
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_runtime::admin::Health;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::net::{self, ConnectionTimeouts};
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use sealbus_witness::{Config, Metrics, Resources, Witness, run as cosign};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Role;
use crate::failure::Failure;
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make the witness's key in `SEALBUS_KEYRING`, print what is pinned of it, and end
    #[arg(long)]
    new_key: bool,
    /// Begin with a log of the policy that the witness has never cosigned, and end; once for each log
    #[arg(long, value_name = "ORIGIN", conflicts_with = "new_key")]
    begin: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args {
        Args { new_key: true, .. } => new_key(&Settings::from_environment()?),
        Args { begin: Some(origin), .. } => begin(&origin, &Settings::from_environment()?),
        Args { .. } => super::run(Role::Witness).await,
    }
}

fn new_key(settings: &Settings) -> Result<ExitCode, Failure> {
    let (path, name) = (settings.require(table::KEYRING)?, settings.require(table::WITNESS_NAME)?);
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut_slice())
        .map_err(|error| Failure::new(format!("the system gave no randomness: {error}")))?;
    let json = Zeroizing::new(Keyring::generate(KeyKind::Witness, &seed)?);
    let key = WitnessSigner::new(&Keyring::parse(&json)?, &name)?.verifier_key();
    let not_written = |error| Failure::new(format!("the keyring {} cannot be made: {error}", path.display()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(not_written)?;
    file.write_all(json.as_bytes()).and_then(|()| file.sync_all()).map_err(not_written)?;
    println!("{key}");
    Ok(ExitCode::SUCCESS)
}

fn begin(origin: &str, settings: &Settings) -> Result<ExitCode, Failure> {
    let (keyring, name) = (wiring::keyring(settings)?, settings.require(table::WITNESS_NAME)?);
    let (policy, folder) = (policy(settings)?, settings.require(table::WITNESS_FOLDER)?);
    Witness::begin(origin, &name, &keyring, &policy, &folder, &SystemClock)?;
    eprintln!("sealbus: the witness {name} begins with {origin}; its memory is in {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let listener = net::bind(table::LISTEN.name(), &settings.get(table::LISTEN)).await?;
    let (keyring, name) = (wiring::keyring(settings)?, settings.require(table::WITNESS_NAME)?);
    let folder = settings.require(table::WITNESS_FOLDER)?;
    let witness = Witness::open(&name, &keyring, policy(settings)?, &folder, Arc::new(SystemClock))?;
    tracing::info!(key = %witness.verifier_key(), "logs and verifiers pin this key");
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let health = Arc::new(Health::new(settings.get(table::CHECK_TIMEOUT), shutdown.clone()));
    let mut supervisor = wiring::supervisor(settings, shutdown);
    wiring::serve_admin(settings, health.clone(), registry, &mut supervisor).await?;

    let timeouts = ConnectionTimeouts {
        headers: settings.get(table::HEADER_TIMEOUT),
        drain: settings.get(table::SHUTDOWN_GRACE) / 2,
    };
    let (config, resources) = (Config::new(listener, timeouts), Resources { witness, metrics });
    supervisor.spawn("witness", Stage::Intake, move |shutdown| cosign(config, resources, shutdown));
    health.started();
    Ok(supervisor.run().await?)
}

fn policy(settings: &Settings) -> Result<Policy, Failure> {
    wiring::policy(&settings.require(table::POLICY)?)
}
