//! `sealbus publish`: one event.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sealbus_client::{Expect, NewEvent};
use sealbus_core::canonical::{Limits, read};
use sealbus_core::duration;

use super::connection::{ConnectionArgs, client};
use crate::failure::Failure;
use crate::output::{Output, table};

/// What to publish.
#[derive(clap::Args)]
pub(crate) struct Args {
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
    /// Wait until an anchored checkpoint covers the event
    #[arg(long, value_enum)]
    wait: Option<Wait>,
    /// How long to wait, such as 5s; the service's own bound otherwise, and never beyond it
    #[arg(long, requires = "wait", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Where to write the receipt: the record with its proof, for `sealbus verify --receipt`
    #[arg(long, requires = "wait", value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wait {
    /// An anchored checkpoint that covers the event
    Sealed,
}

/// Publishes it and prints its record.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
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
    let client = client(&args.connection)?;
    let (event, note) = if args.wait.is_some() {
        let published = client.publish_sealed(&args.plan, &event, expect, args.timeout).await?;
        if let Some(path) = &args.receipt {
            std::fs::write(path, format!("{}\n", published.receipt)).map_err(|error| {
                Failure::new(format!(
                    "the event {} is stored, and its receipt could not be written to {}: {error}; the API gives it at \
                     /v1/events/{0}/receipt",
                    published.event.id,
                    path.display()
                ))
            })?;
        }
        if !published.sealed {
            eprintln!(
                "sealbus: the event is stored and not sealed yet, so its receipt holds no proof; \
                 /v1/events/{}/receipt gives it once it is",
                published.event.id
            );
        }
        let note = if published.sealed { "sealed" } else { stored(published.new) };
        (published.event, note)
    } else {
        let published = client.publish_expecting(&args.plan, &event, expect).await?;
        (published.event, stored(published.new))
    };
    match args.output {
        Output::Json => println!("{}", serde_json::to_string(&event)?),
        Output::Table => {
            let mut printed = table(&["plan", "seq", "id", "hash", ""]);
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

fn stored(new: bool) -> &'static str {
    if new { "stored" } else { "was there already" }
}
