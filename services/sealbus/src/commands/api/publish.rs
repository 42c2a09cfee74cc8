//! `sealbus publish`: publishes one event.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use sealbus_client::{Expect, NewEvent};
use sealbus_core::canonical::{Limits, read};
use sealbus_core::duration;
use sealbus_runtime::files::private_file;

use super::{ApiTenantArgs, client};
use crate::failure::Failure;
use crate::output::{Output, notice, print, printed_table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plan
    plan: String,
    /// Event type, as in the catalog
    event_type: String,
    /// Data of the event, as JSON
    #[arg(default_value = "null")]
    data: String,
    /// Id of the event; publishing the same id again stores nothing [default: a new UUID]
    #[arg(long)]
    id: Option<String>,
    /// Producer of the event
    #[arg(long)]
    source: Option<String>,
    /// Actor of the event, if the token may name another one than its own [default: the token's name]
    #[arg(long)]
    actor: Option<String>,
    /// Store the event only if the plan's head has this seq; 0 requires an empty plan
    #[arg(long, value_name = "SEQ")]
    expect_head: Option<u64>,
    /// Wait until an anchored checkpoint covers the event
    #[arg(long, value_enum)]
    wait: Option<Wait>,
    /// Maximum wait, such as 5s; the publisher's own maximum applies too [default: the publisher's maximum]
    #[arg(long, requires = "wait", value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Write the receipt to FILE: the record with its proof, for `sealbus verify --receipt`
    #[arg(long, requires = "wait", value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    tenant: ApiTenantArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wait {
    /// Until an anchored checkpoint covers the event
    Sealed,
}

/// Publishes the event, waits until it is sealed with `--wait`, and prints its record.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let data = read(args.data.as_bytes(), Limits::PAYLOAD)
        .map_err(|error| Failure::usage(format!("the data is not accepted: {error}")))?;
    let mut event = NewEvent::new(args.event_type, data);
    event.id = args.id.unwrap_or(event.id);
    event.source = args.source;
    event.actor = args.actor;
    let expect = match args.expect_head {
        None => Expect::Any,
        Some(0) => Expect::Empty,
        Some(seq) => Expect::Head(seq),
    };
    let client = client(&args.tenant)?;
    let (event, state) = if args.wait.is_some() {
        let published = client.publish_sealed(&args.plan, &event, expect, args.timeout).await?;
        let id = published.event.id;
        if let Some(path) = &args.receipt {
            let file = private_file().write(true).create(true).truncate(true).open(path);
            file.and_then(|mut file| writeln!(file, "{}", published.receipt)).map_err(|error| {
                Failure::new(format!(
                    "event {id} is stored, but its receipt cannot be written to {}: {error}; get it from /v1/events/{id}/receipt",
                    path.display()
                ))
            })?;
        }
        // If the time runs out first, the event is stored all the same. That is not a failure.
        if !published.sealed {
            notice(format_args!(
                "the event is stored and not sealed yet, so its receipt has no proof; get one later from /v1/events/{id}/receipt"
            ));
        }
        (published.event, if published.sealed { "sealed" } else { stored(published.new) })
    } else {
        let published = client.publish_expecting(&args.plan, &event, expect).await?;
        (published.event, stored(published.new))
    };
    match args.output {
        Output::Json => print(serde_json::to_string(&event)?)?,
        Output::Table => {
            let (seq, id, hash) = (event.seq.to_string(), event.id.to_string(), event.seal.hash.to_string());
            let row = [event.plan, seq, id, hash, state.to_owned()];
            print(printed_table(&["plan", "seq", "id", "hash", ""]).add_row(row))?;
        }
    }
    Ok(())
}

fn stored(new: bool) -> &'static str {
    if new { "stored" } else { "already stored" }
}
