//! `sealbus trail`: prints a plan's events in order.

use futures::{StreamExt, TryStreamExt};
use sealbus_client::TrailQuery;

use super::{ApiTenantArgs, client};
use crate::failure::Failure;
use crate::output::{EVENT_COLUMNS, Output, event_row, notice, print, printed_table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plan
    plan: String,
    /// Only events whose type matches the pattern; repeatable [default: all types]
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Maximum number of events to print [default: unlimited]
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    tenant: ApiTenantArgs,
    /// Output format: a table, or one JSON object per line
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let query = TrailQuery { types: args.types, ..TrailQuery::default() };
    let trail = client(&args.tenant)?.whole_trail(&args.plan, query).take(args.limit.unwrap_or(usize::MAX));
    let mut trail = std::pin::pin!(trail);
    let mut printed = printed_table(&EVENT_COLUMNS);
    let mut events = 0;
    while let Some(event) = trail.try_next().await? {
        events += 1;
        match args.output {
            Output::Json => print(serde_json::to_string(&event)?)?,
            Output::Table => {
                printed.add_row(event_row(&event));
            }
        }
    }
    if args.output == Output::Table {
        print(printed)?;
    }
    if events == 0 {
        notice(format_args!("plan {} has no matching events", args.plan));
    }
    Ok(())
}
