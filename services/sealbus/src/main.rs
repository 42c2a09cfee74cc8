//! `sealbus`: one binary for every role, for `dev`, and for the operator's commands.
//!
//! Here everything is wired: `roles` turns the environment into each role's configuration and resources, `dev` runs all
//! of them in one process beside a Postgres and a nats-server of its own, `commands` holds what an operator types, a file
//! for each, and `bench` measures. No other crate of the workspace knows more than one service.

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

/// Appending allocates and frees buffers of all sizes on all threads, which costs glibc's allocator a tenth of the publisher
/// (decision 0008).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An event bus whose history cannot be quietly changed.
#[derive(Parser)]
#[command(name = "sealbus", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a publisher: accepts events over HTTP and reads history back
    Publisher,
    /// Run a relay: carries the outbox to JetStream
    Relay,
    /// Run a sealer: gives each event its place in the log
    Sealer,
    /// Run a dispatcher: delivers to the subscriptions of a file
    Dispatcher,
    /// Run a witness: cosigns checkpoints that are consistent with all it saw before
    Witness(roles::witness::Args),
    /// Run the whole bus on this machine, Postgres and NATS included
    Dev(dev::Args),
    /// Publish one event
    Publish(commands::api::publish::Args),
    /// Publish a file of CloudEvents, one JSON object a line
    Import(commands::api::import::Args),
    /// Show a plan's events
    Trail(commands::api::trail::Args),
    /// Follow a plan, or everything, as it happens
    Tail(commands::api::tail::Args),
    /// Check a ledger with its log and anchors, or an exported bundle
    Verify(Box<commands::verify::Args>),
    /// Show one event: record, proof, verdict
    Inspect(commands::inspect::Args),
    /// Write a ledger's evidence as a bundle, to be verified without it
    Export(commands::export::Args),
    /// Write what a verifier of bundles pins
    Trust(commands::trust::Args),
    /// See and settle what could not be delivered
    DeadLetters(commands::dead_letters::Args),
    /// Make, list, rotate, retire and revoke keys
    Keys(commands::keys::Args),
    /// Forget a data subject: destroy its data keys, and say where copies are
    Erase(commands::erase::Args),
    /// Bring the ledger's schema to this version, and create the ledger if there is none
    Migrate,
    /// Begin the log of a new ledger
    Log(commands::log::Args),
    /// Show the effective configuration, secrets masked
    Config(commands::config::Args),
    /// Look at the catalog
    Catalog(commands::api::catalog::Args),
    /// Measure this machine, each figure beside its floor
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sealbus: the async runtime could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Publisher => roles::run(roles::Role::Publisher).await,
        Command::Relay => roles::run(roles::Role::Relay).await,
        Command::Sealer => roles::run(roles::Role::Sealer).await,
        Command::Dispatcher => roles::run(roles::Role::Dispatcher).await,
        Command::Witness(args) => roles::witness::run(args).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Publish(args) => commands::api::publish::run(args).await,
        Command::Import(args) => commands::api::import::run(args).await,
        Command::Trail(args) => commands::api::trail::run(args).await,
        Command::Tail(args) => commands::api::tail::run(args).await,
        Command::Verify(args) => commands::verify::run(*args).await,
        Command::Inspect(args) => commands::inspect::run(args).await,
        Command::Export(args) => commands::export::run(args).await,
        Command::Trust(args) => commands::trust::run(&args),
        Command::DeadLetters(args) => commands::dead_letters::run(args).await,
        Command::Keys(args) => commands::keys::run(args).await,
        Command::Erase(args) => commands::erase::run(args).await,
        Command::Migrate => commands::migrate::run().await,
        Command::Log(args) => commands::log::run(args).await,
        Command::Config(args) => commands::config::run(&args),
        Command::Catalog(args) => commands::api::catalog::run(args).await,
        Command::Bench(args) => bench::run(args).await,
    }
}
