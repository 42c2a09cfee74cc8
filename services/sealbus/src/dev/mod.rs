//! `sealbus dev`: runs the whole bus in one process, with its own Postgres and nats-server (docs/spec/interface.md#dev).
//!
//! The roles are the same as in production. Each role has its own settings, as if it ran in a separate process.

mod backing;
mod bus;
mod demo;
mod environment;
mod exec;
mod folder;

use std::path::PathBuf;
use std::process::ExitCode;

use sealbus_runtime::lifecycle::shutdown_on_signals;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use self::backing::{BackingArgs, BackingUrls, Servers};
use self::bus::Bus;
use self::environment::Environment;
use self::folder::Folder;
use crate::failure::Failure;
use crate::output::notice;
use crate::wiring;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Use a temporary folder, which is removed at the end
    #[arg(long)]
    ephemeral: bool,
    /// Folder for data, keys and passwords
    #[arg(long, default_value = ".sealbus", conflicts_with = "ephemeral")]
    data: PathBuf,
    /// Number of publishers, and of relays, 1 to 16 [env: SEALBUS_REPLICAS] [default: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16))]
    replicas: Option<u32>,
    /// Port of the first publisher's API [default: a free port]
    #[arg(long)]
    port: Option<u16>,
    /// Publish settlement plans, and show what was stored, delivered and verified
    #[arg(long, conflicts_with_all = ["exec", "backing_only"])]
    demo: bool,
    /// Directory of your catalog files [env: SEALBUS_CATALOG]
    #[arg(long)]
    catalog: Option<PathBuf>,
    /// File of your subscriptions [env: SEALBUS_SUBSCRIPTIONS] [default: audit storage, and sinks that fail at times]
    #[arg(long)]
    subscriptions: Option<PathBuf>,
    /// Start Postgres and NATS, create keys and the ledger, but run no role
    #[arg(long)]
    backing_only: bool,
    /// Run a shell command once the bus is ready, and exit with its status
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    #[command(flatten)]
    servers: BackingArgs,
}

/// Runs the bus until a signal arrives, until Postgres or nats-server ends, until a role fails, or until the command of
/// `--exec` ends.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    // By default only errors are logged, so that the output of dev is readable.
    let filter = match std::env::var_os(table::LOG.name()) {
        Some(_) => settings.get(table::LOG),
        None => "error,sqlx=off".to_owned(),
    };
    telemetry::start(&filter, settings.get(table::LOG_FORMAT))?;
    let shutdown = shutdown_on_signals()?;

    let folder = if args.ephemeral { Folder::temporary()? } else { Folder::persistent(&args.data)? };
    let (mut servers, urls) = tokio::select! {
        started = Servers::start(&args.servers, &settings, &folder, args.ephemeral) => started?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let outcome = tokio::select! {
        outcome = with_servers(&args, &settings, &folder, &urls, shutdown.clone()) => outcome,
        error = servers.died() => Err(error.into()),
    };
    servers.stop().await;
    outcome
}

/// Creates the ledger and, unless `--backing-only` is given, runs the roles.
async fn with_servers(
    args: &Args,
    settings: &Settings,
    folder: &Folder,
    urls: &BackingUrls,
    shutdown: CancellationToken,
) -> Result<ExitCode, Failure> {
    let mut environment = Environment::new(args, settings, folder, urls)?;
    sealbus_ledger::migrate(&urls.owner).await?;
    let shared = environment.settings(&[])?;
    wiring::create_ledger(&shared).await?;
    wiring::begin_log(&shared, false).await?;
    if args.backing_only {
        return run_command(args, settings, &environment, shutdown).await;
    }
    let replicas = args.replicas.unwrap_or_else(|| settings.get(table::REPLICAS));
    let mut bus = tokio::select! {
        started = Bus::start(&mut environment, args.port, replicas) => started?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let outcome = tokio::select! {
        outcome = run_command(args, settings, &environment, shutdown) => outcome,
        failure = bus.failed() => Err(failure),
    };
    bus.stop().await;
    outcome
}

/// Runs the command of `--exec`. Without a command, it runs the demonstration, if `--demo` is given, and then waits for
/// `shutdown`.
async fn run_command(
    args: &Args,
    settings: &Settings,
    environment: &Environment,
    shutdown: CancellationToken,
) -> Result<ExitCode, Failure> {
    if let Some(command) = &args.exec {
        return exec::run(command, &environment.variables, settings.get(table::SHUTDOWN_GRACE), shutdown).await;
    }
    if args.demo {
        tokio::select! {
            shown = demo::run(environment) => shown?,
            () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
        }
    }
    environment.print()?;
    shutdown.cancelled().await;
    if !args.backing_only {
        notice("stopping");
    }
    Ok(ExitCode::SUCCESS)
}
