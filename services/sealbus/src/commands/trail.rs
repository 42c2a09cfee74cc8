//! `sealbus trail`: a plan's events in order.

use std::process::ExitCode;

use futures::{StreamExt, TryStreamExt};
use sealbus_client::TrailQuery;

use super::connection::{ConnectionArgs, client};
use crate::failure::Failure;
use crate::output::{EVENT_COLUMNS, Output, event_row, table};

/// Which events.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The plan
    plan: String,
    /// Only types of this pattern; may be given several times
    #[arg(long = "type")]
    types: Vec<String>,
    /// At most so many
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print: a table, or a JSON object a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the trail, page by page.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let query = TrailQuery { types: args.types, ..TrailQuery::default() };
    let trail = client(&args.connection)?.whole_trail(&args.plan, query).take(args.limit.unwrap_or(usize::MAX));
    let mut trail = std::pin::pin!(trail);
    let mut printed = table(&EVENT_COLUMNS);
    let mut events = 0;
    while let Some(event) = trail.try_next().await? {
        events += 1;
        match args.output {
            Output::Json => println!("{}", serde_json::to_string(&event)?),
            Output::Table => {
                printed.add_row(event_row(&event));
            }
        }
    }
    if args.output == Output::Table {
        println!("{printed}");
    }
    if events == 0 {
        eprintln!("sealbus: plan {} has no such events", args.plan);
    }
    Ok(ExitCode::SUCCESS)
}
