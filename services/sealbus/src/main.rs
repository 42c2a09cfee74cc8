//! `sealbus`: one binary for every role, for `dev`, and for the operator's commands.
//!
//! This is the only crate that depends on more than one service. Its modules, from top to bottom:
//!
//! - `commands`: the operator's commands, one file each.
//! - `dev`: `sealbus dev`, which runs all roles in one process, with its own Postgres and nats-server.
//! - `bench`: benchmarks.
//! - `roles`: the configuration and resources of each role, from the settings.
//! - `evidence`: verifying ledgers and bundles, and exporting bundles.
//! - `wiring`: what all of these share: opening the ledger and the broker, keys, probes.

// The macros panic if nobody reads the output any more; `output::print` and `output::notice` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod commands;
mod dev;
mod evidence;
mod failure;
mod output;
mod roles;
mod wiring;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// The allocator. Appending allocates and frees buffers of all sizes on all threads; with glibc's allocator that takes a tenth of
/// the publisher's time (docs/decisions/0008-mimalloc.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An event bus whose history cannot be changed without detection
#[derive(Parser)]
#[command(name = "sealbus", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a publisher, which accepts events over HTTP and serves history
    Publisher,
    /// Run a relay, which publishes the outbox to JetStream
    Relay,
    /// Run a sealer, which gives each event its place in the log and anchors checkpoints
    Sealer,
    /// Run a dispatcher, which delivers events to the declared subscriptions
    Dispatcher,
    /// Run a witness, which cosigns checkpoints that are consistent with all earlier ones
    Witness(roles::witness::Args),
    /// Run the whole bus on this machine, including Postgres and NATS
    Dev(dev::Args),
    /// Publish one event
    Publish(commands::api::publish::Args),
    /// Publish a file of CloudEvents, one JSON object per line
    Import(commands::api::import::Args),
    /// Print a plan's events
    Trail(commands::api::trail::Args),
    /// Follow the events of a plan, or of all plans, as they happen
    Tail(commands::api::tail::Args),
    /// Verify a ledger with its log and anchors, or an exported bundle
    Verify(Box<commands::verify::Args>),
    /// Print one event with its record, proof and verdict
    Inspect(commands::inspect::Args),
    /// Write a ledger's evidence as a bundle, which can be verified without the ledger
    Export(commands::export::Args),
    /// Write a folder with what a verifier of bundles pins
    Trust(commands::trust::Args),
    /// List, redrive or skip dead letters
    #[command(subcommand)]
    DeadLetters(commands::dead_letters::Command),
    /// Show the history of the database server, or confirm it after a failover
    #[command(subcommand)]
    Failover(commands::failover::Command),
    /// List, show or settle the plans whose applied history is not the ledger's
    #[command(subcommand)]
    Forks(commands::forks::Command),
    /// Create, list, rotate, retire and revoke keys
    #[command(subcommand)]
    Keys(commands::keys::Command),
    /// Erase a data subject: destroy its data keys, and report where copies are
    Erase(commands::erase::Args),
    /// Migrate the ledger's schema to this version, and create the ledger if it does not exist
    Migrate,
    /// Initialise the log of a new ledger
    #[command(subcommand)]
    Log(commands::log::Command),
    /// Print the effective settings, with secrets masked
    Config(commands::config::Args),
    /// Validate or print the catalog
    #[command(subcommand)]
    Catalog(commands::api::catalog::Command),
    /// Run benchmarks, each against a baseline measured in the same run
    #[command(subcommand)]
    Bench(bench::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::notice(format_args!("cannot start the async runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.message.is_empty() {
                output::notice(&failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Publisher => roles::run(roles::Role::Publisher).await?,
        Command::Relay => roles::run(roles::Role::Relay).await?,
        Command::Sealer => roles::run(roles::Role::Sealer).await?,
        Command::Dispatcher => roles::run(roles::Role::Dispatcher).await?,
        Command::Witness(args) => roles::witness::run(args).await?,
        Command::Dev(args) => return dev::run(args).await,
        Command::Publish(args) => commands::api::publish::run(args).await?,
        Command::Import(args) => return commands::api::import::run(args).await,
        Command::Trail(args) => commands::api::trail::run(args).await?,
        Command::Tail(args) => commands::api::tail::run(args).await?,
        Command::Verify(args) => return commands::verify::run(*args).await,
        Command::Inspect(args) => return commands::inspect::run(args).await,
        Command::Export(args) => commands::export::run(args).await?,
        Command::Trust(args) => commands::trust::run(&args)?,
        Command::DeadLetters(command) => commands::dead_letters::run(command).await?,
        Command::Failover(command) => commands::failover::run(command).await?,
        Command::Forks(command) => commands::forks::run(command).await?,
        Command::Keys(command) => commands::keys::run(command).await?,
        Command::Erase(args) => commands::erase::run(args).await?,
        Command::Migrate => commands::migrate::run().await?,
        Command::Log(command) => commands::log::run(command).await?,
        Command::Config(args) => commands::config::run(&args)?,
        Command::Catalog(command) => commands::api::catalog::run(command).await?,
        Command::Bench(command) => bench::run(command).await?,
    }
    Ok(ExitCode::SUCCESS)
}
