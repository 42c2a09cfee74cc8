//! `sealbus catalog`: what may be published, and whether files of one's own are right.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use sealbus_runtime::files::load_catalog;
use sealbus_runtime::settings::{Settings, table};

use super::connection::{ConnectionArgs, client};
use crate::failure::Failure;

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Check a directory of catalog files beside the built-in ones
    Check {
        /// The directory; otherwise SEALBUS_CATALOG
        directory: Option<PathBuf>,
    },
    /// Print the catalog of a running publisher, as JSON
    Show {
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

/// Checks or shows.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.what {
        What::Check { directory } => {
            let directory = match directory {
                Some(directory) => Some(directory),
                None => Settings::from_environment()?.find(table::CATALOG),
            };
            load_catalog(directory.as_deref())?;
            println!(
                "{} is right",
                directory
                    .map_or_else(|| "the built-in catalog".to_owned(), |directory| directory.display().to_string())
            );
        }
        What::Show { connection } => println!("{:#}", client(&connection)?.catalog().await?),
    }
    Ok(ExitCode::SUCCESS)
}
