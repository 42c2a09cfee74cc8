//! `sealbus trust`: what a verifier pins, in a folder to hand out. How it gets to whom it is for is what it is worth.

use std::path::PathBuf;
use std::process::ExitCode;

use sealbus_runtime::settings::{Settings, table};

use crate::evidence::pins::Pins;
use crate::failure::Failure;

/// Where to.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder, made if absent: `origin`, `keyring.json` without secrets, `policy`
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes it. Neither ledger nor broker is asked.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let pins = Pins::of_deployment(&settings, &settings.require(table::ORIGIN)?)?;
    pins.write(&args.out)?;
    println!("{}: what a verifier of {} pins; nothing in it is secret", args.out.display(), pins.origin);
    Ok(ExitCode::SUCCESS)
}
