//! `sealbus bench`: benchmarks, each against a baseline that is measured in the same run.
//!
//! Machines differ and are noisy, so only the ratio to the baseline is comparable. A benchmark starts the roles as separate
//! processes on the servers that the environment names, and reports their peak memory:
//! `sealbus dev --ephemeral --backing-only --exec 'sealbus bench append'`.

#![expect(clippy::cast_precision_loss, reason = "figures for a person to read")]

mod append;
mod baseline;
mod e2e;
mod percentiles;
mod role;
mod seal;
mod verify;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Events per second that a publisher appends, in batches over HTTP; baseline: pgbench inserting the same rows unsigned
    Append(append::Args),
    /// Events that wait for their leaf after appending at full speed, and the time until they have it
    Seal(seal::Args),
    /// Events per second that `sealbus verify --all` checks; baselines: a COPY of the rows, and verifying signatures alone
    Verify(verify::Args),
    /// Time from publish to delivery at a steady rate; baseline: one commit and one JetStream acknowledgement
    E2e(e2e::Args),
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Append(args) => append::run(args).await,
        Command::Seal(args) => seal::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::E2e(args) => e2e::run(args).await,
    }
}
