//! `sealbus witness`.

use std::sync::Arc;

use sealbus_core::log::policy::Policy;
use sealbus_core::log::signer::WitnessSigner;
use sealbus_core::seal::{KeyKind, Keyring};
use sealbus_runtime::admin::Health;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::lifecycle::Stage;
use sealbus_runtime::memory::bounds;
use sealbus_runtime::net::{self, ConnectionLimits};
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use sealbus_witness::{Config, Metrics, Resources, Witness, run as cosign};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Role;
use crate::failure::{Context as _, Failure};
use crate::output::{notice, print};
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Create the witness's key in a new keyring file at the configured path, print the vkey that others pin, and exit
    #[arg(long)]
    new_key: bool,
    /// Start to follow a log of the policy that the witness has never cosigned, and exit; run once for each log
    #[arg(long, value_name = "ORIGIN", conflicts_with = "new_key")]
    begin: Option<String>,
}

/// Creates the key, starts to follow a log, or serves.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args { new_key: true, .. } => new_key(&Settings::from_environment()?),
        Args { begin: Some(origin), .. } => begin(&origin, &Settings::from_environment()?),
        Args { .. } => super::run(Role::Witness).await,
    }
}

fn new_key(settings: &Settings) -> Result<(), Failure> {
    let (path, name) = (settings.require(table::KEYRING)?, settings.require(table::WITNESS_NAME)?);
    let json = Zeroizing::new(Keyring::generate(KeyKind::Witness, &*wiring::random_bytes()?)?);
    let key = WitnessSigner::new(&Keyring::parse(&json)?, &name)?.verifier_key();
    wiring::create_private_file(&path, &json).context(format_args!("cannot create the keyring {}", path.display()))?;
    print(key)?;
    Ok(())
}

fn begin(origin: &str, settings: &Settings) -> Result<(), Failure> {
    let (keyring, name) = (wiring::keyring(settings)?, settings.require(table::WITNESS_NAME)?);
    let (policy, folder) = (policy(settings)?, settings.require(table::WITNESS_FOLDER)?);
    Witness::begin(origin, &name, &keyring, &policy, &folder, &SystemClock)?;
    notice(format_args!("witness {name} follows {origin} from now on; it stores its state in {}", folder.display()));
    Ok(())
}

pub(crate) async fn serve(settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    let listener = net::bind(table::LISTEN.name(), &settings.get(table::LISTEN)).await?;
    let (keyring, name) = (wiring::keyring(settings)?, settings.require(table::WITNESS_NAME)?);
    let folder = settings.require(table::WITNESS_FOLDER)?;
    let witness = Witness::open(&name, &keyring, policy(settings)?, &folder, Arc::new(SystemClock))?;
    tracing::info!(key = %witness.verifier_key(), "serving with the key that logs and verifiers pin");
    let mut registry = telemetry::metrics::registry();
    let metrics = Metrics::register(&mut registry);
    let health = Arc::new(Health::new(settings.get(table::CHECK_TIMEOUT), shutdown.clone()));
    let mut supervisor = wiring::supervisor(settings, health.clone(), registry, shutdown).await?;

    let limits = ConnectionLimits::from_settings(settings);
    let (config, resources) =
        (Config::new(listener, limits, bounds::WITNESS_BODIES.budget(settings)), Resources { witness, metrics });
    supervisor.spawn("witness", Stage::Intake, move |shutdown| cosign(config, resources, shutdown));
    health.started();
    Ok(supervisor.run().await?)
}

fn policy(settings: &Settings) -> Result<Policy, Failure> {
    wiring::policy(&settings.require(table::POLICY)?)
}
