//! `sealbus dev`: the whole bus in one process, with a Postgres and a nats-server of its own.
//!
//! The roles are the ones that production runs, each with settings of its own, as if it were a process: `environment` makes
//! them, `bus` runs them. `backing` starts the two servers, `folder` keeps keys and passwords, `demo` shows the bus at
//! work, `exec` runs a command beside it as a `job`.

mod backing;
mod bus;
mod demo;
mod environment;
mod exec;
mod folder;
mod job;

use std::path::PathBuf;
use std::process::ExitCode;

use sealbus_runtime::lifecycle::shutdown_on_signals;
use sealbus_runtime::settings::{Settings, table};
use sealbus_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use self::backing::{Backing, BackingArgs};
use self::bus::Bus;
use self::environment::Environment;
use self::folder::Folder;
use crate::failure::Failure;
use crate::wiring;

/// How to run the bus here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep nothing: the data goes when dev ends
    #[arg(long)]
    ephemeral: bool,
    /// Where the data is kept
    #[arg(long, default_value = ".sealbus", conflicts_with = "ephemeral")]
    data: PathBuf,
    /// Publishers and relays to run of each
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16))]
    replicas: Option<u32>,
    /// Port of the first publisher's API, instead of a free one
    #[arg(long)]
    port: Option<u16>,
    /// Publish settlement plans and show what becomes of them
    #[arg(long, conflicts_with_all = ["exec", "backing_only"])]
    demo: bool,
    /// A directory of catalog files of your own
    #[arg(long)]
    catalog: Option<PathBuf>,
    /// A file of subscriptions of your own
    #[arg(long)]
    subscriptions: Option<PathBuf>,
    /// Start Postgres and NATS, migrate, make keys, and run no role
    #[arg(long)]
    backing_only: bool,
    /// Run a command beside the bus, and end with its status
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    #[command(flatten)]
    servers: BackingArgs,
}

/// Runs until a signal, a child's death, or the end of `--exec`'s command.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    // What roles log would drown what dev says; SEALBUS_LOG brings it back.
    let filter = if std::env::var_os(table::LOG.name()).is_some() {
        settings.get(table::LOG)
    } else {
        "error,sqlx=off".to_owned()
    };
    telemetry::start(&filter, settings.get(table::LOG_FORMAT), Vec::new())?;
    let shutdown = shutdown_on_signals()?;

    let folder = if args.ephemeral { Folder::ephemeral()? } else { Folder::kept(&args.data)? };
    let mut backing = tokio::select! {
        started = Backing::start(&args.servers, &settings, &folder, args.ephemeral) => started?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    for remark in &backing.remarks {
        eprintln!("sealbus: {remark}");
    }
    let addresses = backing_addresses(&backing);
    let outcome = tokio::select! {
        outcome = with_backing(&args, &settings, &folder, &addresses, shutdown.clone()) => outcome,
        error = backing.died() => Err(error.into()),
    };
    backing.stop().await;
    outcome
}

/// What of the backing is still needed while somebody else watches over it.
struct Addresses {
    admin: String,
    owner: String,
    writer: String,
    nats: String,
    lent: Vec<&'static str>,
}

fn backing_addresses(backing: &Backing) -> Addresses {
    Addresses {
        admin: backing.admin_url.clone(),
        owner: backing.owner_url.clone(),
        writer: backing.writer_url.clone(),
        nats: backing.nats_url.clone(),
        lent: backing.lent.clone(),
    }
}

async fn with_backing(
    args: &Args,
    settings: &Settings,
    folder: &Folder,
    addresses: &Addresses,
    shutdown: CancellationToken,
) -> Result<ExitCode, Failure> {
    let environment = Environment::new(args, settings, folder, addresses)?;
    sealbus_ledger::migrate(&addresses.owner).await?;
    let shared = environment.settings(&[])?;
    wiring::create_ledger(&shared).await?;
    wiring::begin_log(&shared, false).await?;
    if args.backing_only {
        if let Some(command) = &args.exec {
            return exec::run(command, environment.shared(), settings.get(table::SHUTDOWN_GRACE), shutdown).await;
        }
        environment.print();
        shutdown.cancelled().await;
        return Ok(ExitCode::SUCCESS);
    }
    let replicas = args.replicas.unwrap_or_else(|| settings.get(table::REPLICAS));
    let mut bus = tokio::select! {
        started = Bus::start(&environment, args.port, replicas) => started?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let outcome = tokio::select! {
        outcome = with_bus(args, settings, &bus.environment, &bus.urls, shutdown) => outcome,
        failure = bus.ended.recv() => Err(failure.unwrap_or_else(|| Failure::new("a role ended"))),
    };
    bus.stop().await;
    outcome
}

async fn with_bus(
    args: &Args,
    settings: &Settings,
    environment: &Environment,
    urls: &[String],
    shutdown: CancellationToken,
) -> Result<ExitCode, Failure> {
    if let Some(command) = &args.exec {
        return exec::run(command, environment.shared(), settings.get(table::SHUTDOWN_GRACE), shutdown).await;
    }
    if args.demo {
        tokio::select! {
            shown = demo::run(environment, urls) => shown?,
            () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
        }
    }
    environment.print();
    shutdown.cancelled().await;
    eprintln!("sealbus: stopping");
    Ok(ExitCode::SUCCESS)
}
