//! `sealbus log init`: initialises the log. Sealers never initialise a log.

use std::process::ExitCode;

use sealbus_runtime::settings::Settings;

use crate::failure::Failure;
use crate::wiring;

/// The arguments of `sealbus log`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Sign the log's first checkpoint and write it to the anchors; once for a new ledger
    Init {
        /// Sign the newest tree and anchor it again, after the anchors were replaced on purpose
        #[arg(long)]
        again: bool,
    },
}

/// Initialises the log, and prints what was done.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Command::Init { again } = args.command;
    let settings = Settings::from_environment()?;
    println!("{}", wiring::begin_log(&settings, again).await?);
    Ok(ExitCode::SUCCESS)
}
