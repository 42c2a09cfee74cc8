//! `sealbus publish`: one event.

use std::process::ExitCode;

use sealbus_client::{Expect, NewEvent};
use sealbus_core::canonical::{Limits, read};

use super::connection::{ConnectionArgs, client};
use crate::failure::Failure;
use crate::output::{Output, table};

/// What to publish.
#[derive(clap::Args)]
pub struct Args {
    /// The plan
    plan: String,
    /// The event's type, as the catalog has it
    event_type: String,
    /// Its data, as JSON
    #[arg(default_value = "null")]
    data: String,
    /// Its id; a UUID of its own otherwise
    #[arg(long)]
    id: Option<String>,
    /// What produced it
    #[arg(long)]
    source: Option<String>,
    /// Who did it, where the token may name somebody else
    #[arg(long)]
    actor: Option<String>,
    /// The plan's head that is expected; 0 for an empty plan
    #[arg(long)]
    expect_head: Option<u64>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Publishes it and prints its record.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let data = read(args.data.as_bytes(), Limits::PAYLOAD)
        .map_err(|refused| Failure::usage(format!("the data is refused: {refused}")))?;
    let mut event = NewEvent::new(args.event_type, data);
    event.id = args.id.unwrap_or(event.id);
    event.source = args.source;
    event.actor = args.actor;
    let expect = match args.expect_head {
        None => Expect::Any,
        Some(0) => Expect::Empty,
        Some(seq) => Expect::Head(seq),
    };
    let published = client(&args.connection)?.publish_expecting(&args.plan, &event, expect).await?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string(&published.event)?),
        Output::Table => {
            let mut printed = table(&["plan", "seq", "id", "hash", ""]);
            let event = published.event;
            let note = if published.new { "stored" } else { "was there already" };
            printed.add_row([
                event.plan,
                event.seq.to_string(),
                event.id.to_string(),
                event.seal.hash.to_string(),
                note.to_owned(),
            ]);
            println!("{printed}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
