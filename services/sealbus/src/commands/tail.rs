//! `sealbus tail`: events as they happen.

use std::process::ExitCode;

use futures::TryStreamExt;
use sealbus_client::Scope;
use sealbus_runtime::lifecycle::shutdown_on_signals;

use super::connection::{ConnectionArgs, client};
use crate::failure::Failure;
use crate::output::Output;

/// What to follow.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A plan; all of the tenant's, in log order, without one
    plan: Option<String>,
    /// Begin after this seq of the plan, or this log index; otherwise now
    #[arg(long)]
    after: Option<u64>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print: a line each, or a JSON object a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints each event until a signal.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let scope = args.plan.map_or(Scope::All, Scope::Plan);
    let mut events = std::pin::pin!(client(&args.connection)?.tail(scope, args.after));
    let shutdown = shutdown_on_signals()?;
    loop {
        let event = tokio::select! {
            event = events.try_next() => event?,
            () = shutdown.cancelled() => None,
        };
        let Some(event) = event else { return Ok(ExitCode::SUCCESS) };
        match args.output {
            Output::Json => println!("{}", serde_json::to_string(&event)?),
            Output::Table => {
                println!("{}  {}/{}  {}  {}", event.recorded_at, event.plan, event.seq, event.event_type, event.data);
            }
        }
    }
}
