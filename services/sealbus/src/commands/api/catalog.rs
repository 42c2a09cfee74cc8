//! `sealbus catalog`: validates catalog files, or prints the catalog of a running publisher.

use std::path::PathBuf;

use clap::Subcommand;
use sealbus_runtime::files::load_catalog;
use sealbus_runtime::settings::{Settings, table};

use super::{ApiTenantArgs, client};
use crate::failure::Failure;
use crate::output::print;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Validate a directory of catalog files together with the built-in ones
    Check {
        /// Directory of `.yaml` files; without one, only the built-in files are validated [env: SEALBUS_CATALOG]
        directory: Option<PathBuf>,
    },
    /// Print the catalog of a running publisher as JSON
    Show {
        #[command(flatten)]
        tenant: ApiTenantArgs,
    },
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check { directory } => check(directory)?,
        Command::Show { tenant } => print(format_args!("{:#}", client(&tenant)?.catalog().await?))?,
    }
    Ok(())
}

fn check(directory: Option<PathBuf>) -> Result<(), Failure> {
    let directory = match directory {
        Some(directory) => Some(directory),
        None => Settings::from_environment()?.find(table::CATALOG),
    };
    load_catalog(directory.as_deref())?;
    match directory {
        Some(directory) => print(format_args!("{} is valid", directory.display()))?,
        None => print("the built-in catalog is valid")?,
    }
    Ok(())
}
