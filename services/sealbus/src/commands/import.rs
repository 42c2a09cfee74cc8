//! `sealbus import`: a file of CloudEvents, one JSON object a line, `.gz` too.
//!
//! Each plan's order is kept: a plan's lines all go through one of a few lanes, batch after batch. It may be broken off and run
//! again at any moment, since an event that is stored already is known by its id.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use sealbus_client::{Client, Outcome, Problem};
use sealbus_core::canonical::{Limits, MAX_DEPTH, MAX_PAYLOAD, read};
use sealbus_runtime::settings::Settings;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::{ConnectionArgs, client_of};
use crate::failure::Failure;
use crate::output::{Output, progress};

/// Batches under way at once.
const LANES: u64 = 8;
/// Events of a batch.
const BATCH: usize = 200;
/// Bytes of a batch, beyond its first event; well under what a publisher takes.
const BATCH_BYTES: usize = 1 << 20;
/// A line may hold a whole payload and its attributes, one level deeper.
const LINE: Limits = Limits { bytes: 2 * MAX_PAYLOAD, depth: MAX_DEPTH + 1 };

/// What to import.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file; `.gz` is unpacked
    file: PathBuf,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the summary
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What became of the lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Summary {
    read: u64,
    stored: u64,
    duplicates: u64,
    refused: u64,
}

/// An event with its line's number and length.
struct Line {
    number: u64,
    bytes: usize,
    event: Value,
}

/// Imports, and prints a summary as the last line. Ends with 1 where a line was refused.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let client = Arc::new(client_of(&settings, None)?);
    let tenant = args.connection.tenant(&settings);
    let open = |file: &Path| {
        File::open(file).map_err(|error| Failure::usage(format!("{} cannot be opened: {error}", file.display())))
    };
    let bytes = open(&args.file)?.metadata()?.len();
    let bar = progress(bytes, "importing");
    let packed = args.file.extension().is_some_and(|ending| ending == "gz");
    let source = bar.wrap_read(open(&args.file)?);
    let source: Box<dyn Read + Send> = if packed { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };

    let mut lanes = Vec::new();
    let mut workers = JoinSet::new();
    for _ in 0..LANES {
        let (lane, events) = mpsc::channel::<Line>(2 * BATCH);
        lanes.push(lane);
        workers.spawn(publish(client.clone(), events));
    }
    let mut summary = Summary::default();
    let reading = tokio::task::spawn_blocking(move || read_lines(source, tenant.as_deref(), &lanes));
    while let Some(counted) = workers.join_next().await {
        let counted = counted??;
        summary.stored += counted.stored;
        summary.duplicates += counted.duplicates;
        summary.refused += counted.refused;
    }
    let (read, malformed) = reading.await??;
    summary.read = read;
    summary.refused += malformed;
    bar.finish_and_clear();
    match args.output {
        Output::Json => println!("{}", serde_json::to_string(&summary)?),
        Output::Table => {
            let Summary { read, stored, duplicates, refused } = summary;
            println!("{read} read, {stored} stored, {duplicates} there already, {refused} refused");
        }
    }
    Ok(if summary.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends each line down its plan's lane; gives the lines read and those that are no JSON that Sealbus takes.
fn read_lines(source: impl Read, tenant: Option<&str>, lanes: &[mpsc::Sender<Line>]) -> Result<(u64, u64), Failure> {
    let (mut read_lines, mut refused) = (0, 0);
    for (line, at) in BufReader::new(source).split(b'\n').zip(1_u64..) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        read_lines += 1;
        match read(&line, LINE) {
            Ok(mut event) => {
                // An event names its own tenant; the one given is for those that do not.
                if let (Value::Object(members), Some(tenant)) = (&mut event, tenant) {
                    members.entry("tenantid").or_insert_with(|| tenant.into());
                }
                let at_lane = lane(&event) % lanes.len();
                // A lane that is gone has failed, which its worker tells.
                if lanes[at_lane].blocking_send(Line { number: at, bytes: line.len(), event }).is_err() {
                    break;
                }
            }
            Err(fault) => {
                refused += 1;
                complain(at, fault.refusal.code(), &fault.to_string());
            }
        }
    }
    Ok((read_lines, refused))
}

/// The same for all events of a plan.
fn lane(event: &Value) -> usize {
    let mut hasher = DefaultHasher::new();
    (event["tenantid"].as_str(), event["subject"].as_str()).hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES).unwrap_or_default()
}

/// Publishes a lane's events in order, as many at once as have come.
async fn publish(client: Arc<Client>, mut events: mpsc::Receiver<Line>) -> Result<Summary, Failure> {
    let mut summary = Summary::default();
    let mut waiting = Vec::with_capacity(BATCH);
    while !waiting.is_empty() || events.recv_many(&mut waiting, BATCH).await > 0 {
        let batch: Vec<Line> = waiting.drain(..fitting(&waiting)).collect();
        let (numbers, values): (Vec<u64>, Vec<Value>) = batch.into_iter().map(|line| (line.number, line.event)).unzip();
        let outcomes = client.publish_cloudevents(&values).await?;
        for ((line, value), outcome) in numbers.into_iter().zip(values).zip(outcomes) {
            // A plan's events of a batch are refused together; alone, only the wrong one is.
            let outcome = match outcome {
                Outcome::Refused(_) => client.publish_cloudevents(std::slice::from_ref(&value)).await?.remove(0),
                stored @ Outcome::Stored(_) => stored,
            };
            match outcome {
                Outcome::Stored(published) if published.new => summary.stored += 1,
                Outcome::Stored(_) => summary.duplicates += 1,
                Outcome::Refused(problem) => {
                    summary.refused += 1;
                    refuse(line, &problem)?;
                }
            }
        }
    }
    Ok(summary)
}

/// How many of the first lines go in one batch: at least one.
fn fitting(lines: &[Line]) -> usize {
    let sums = lines.iter().scan(0, |sum, line| {
        *sum += line.bytes;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= BATCH_BYTES).count().max(1)
}

/// A line that is wrong is told and passed over; a service that is in trouble ends the import, which can be run again.
fn refuse(line: u64, problem: &Problem) -> Result<(), Failure> {
    if problem.status >= 500 {
        return Err(Failure::new(format!(
            "line {line} could not be stored: {problem}; run the import again, what is stored is known"
        )));
    }
    complain(line, &problem.code, &problem.to_string());
    Ok(())
}

fn complain(line: u64, code: &str, detail: &str) {
    eprintln!("sealbus: line {line} is refused ({code}): {detail}");
}
