//! `sealbus bench`: figures of this machine, each beside its floor, measured in the same run.
//!
//! Machines are noisy and differ; a ratio within one run holds. All benchmarks start the roles as processes of their own,
//! on the backing that the environment names, and say how much memory each took:
//! `sealbus dev --ephemeral --backing-only --exec 'sealbus bench append'`.

#![expect(clippy::cast_precision_loss, reason = "figures for a person to read")]

mod append;
mod e2e;
mod floor;
mod percentiles;
mod role;
mod seal;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Events a second that a publisher appends, batch calls over HTTP; floor: pgbench inserting the same rows unsigned
    Append(append::Args),
    /// Events that wait for their leaf after a time of appending at full speed, and how long they take to get it
    Seal(seal::Args),
    /// Events a second that a whole verification reads; floors: a COPY of the rows, and strict verifications alone
    Verify(verify::Args),
    /// Time from publish to delivery at a steady rate; floor: one commit and one JetStream acknowledgement
    E2e(e2e::Args),
}

/// Runs a benchmark.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.what {
        What::Append(args) => append::run(args).await?,
        What::Seal(args) => seal::run(args).await?,
        What::Verify(args) => verify::run(args).await?,
        What::E2e(args) => e2e::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
