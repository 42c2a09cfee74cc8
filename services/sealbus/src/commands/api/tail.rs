//! `sealbus tail`: prints events as they are stored or sealed.

use futures::{StreamExt, TryStreamExt};
use sealbus_client::{Event, Scope};
use sealbus_runtime::lifecycle::shutdown_on_signals;

use super::{ApiTenantArgs, client};
use crate::failure::Failure;
use crate::output::{Output, print, printable};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plan to follow [default: all plans of the tenant, in log order]
    plan: Option<String>,
    /// Start after this seq of the plan or, without a plan, after this log index [default: start now]
    #[arg(long, value_name = "SEQ|INDEX")]
    after: Option<u64>,
    #[command(flatten)]
    tenant: ApiTenantArgs,
    /// Output format: one line, or one JSON object, per event
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints each event until a signal ends the process.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let scope = args.plan.map_or(Scope::All, Scope::Plan);
    let events = client(&args.tenant)?.tail(scope, args.after);
    let mut events = std::pin::pin!(events.take_until(shutdown_on_signals()?.cancelled_owned()));
    while let Some(event) = events.try_next().await? {
        match args.output {
            Output::Json => print(serde_json::to_string(&event)?)?,
            Output::Table => {
                let Event { recorded_at, plan, seq, event_type, data, .. } = event;
                print(printable(&format!("{recorded_at}  {plan}/{seq}  {event_type}  {data}")))?;
            }
        }
    }
    Ok(())
}
