//! `sealbus log init`: initialises the log. Sealers never initialise a log.

use sealbus_runtime::settings::Settings;

use crate::failure::Failure;
use crate::output::print;
use crate::wiring;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Sign the log's first checkpoint and write it to the anchors; once for a new ledger
    Init {
        /// Sign the newest tree and anchor it again, after the anchors were replaced on purpose
        #[arg(long)]
        again: bool,
    },
}

pub(crate) async fn run(Command::Init { again }: Command) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    print(wiring::begin_log(&settings, again).await?)?;
    Ok(())
}
