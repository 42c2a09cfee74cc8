//! `sealbus trust`: writes a folder with what a verifier of bundles pins.
//!
//! A verification is worth as much as the channel over which the verifier got this folder.

use std::path::PathBuf;

use sealbus_runtime::settings::{Settings, table};

use crate::evidence::pins::Pins;
use crate::failure::Failure;
use crate::output::print;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to write `origin`, `keyring.json` (without secrets) and `policy` to; created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the folder. Uses neither the ledger nor the broker.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let pins = Pins::of_deployment(&settings, &settings.require(table::ORIGIN)?)?;
    pins.write(&args.out)?;
    print(format_args!("{} holds what a verifier of {} pins, and no secret", args.out.display(), pins.origin))?;
    Ok(())
}
