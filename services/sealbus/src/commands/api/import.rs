//! `sealbus import`: publishes a file of CloudEvents, one JSON object per line, plain or compressed with gzip.
//!
//! The order within each plan is kept: all lines of a plan are published by the same lane, one batch after the other. An
//! import can be interrupted and run again, because an event that is already stored is recognised by its id
//! (docs/spec/interface.md#commands-import).

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use sealbus_client::{Client, Outcome};
use sealbus_core::canonical::{Limits, MAX_DEPTH, MAX_PAYLOAD, read};
use sealbus_runtime::settings::Settings;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{ApiTenantArgs, client_for};
use crate::failure::Failure;
use crate::output::{Output, notice, print, progress};

/// Number of lanes, each of which has one batch in flight.
const LANES: u64 = 8;
/// Maximum number of events in a batch.
const MAX_BATCH_EVENTS: usize = 200;
/// Maximum number of bytes in a batch of more than one event: well below the largest body that a publisher accepts.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Limits of a line, which holds a payload and the attributes around it.
const LINE_LIMITS: Limits = Limits { bytes: 2 * MAX_PAYLOAD, depth: MAX_DEPTH + 1 };

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of CloudEvents, one JSON object per line; a file that ends in `.gz` is decompressed
    file: PathBuf,
    #[command(flatten)]
    tenant: ApiTenantArgs,
    /// Output format of the summary
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Summary {
    read: u64,
    stored: u64,
    duplicates: u64,
    refused: u64,
}

struct Line {
    /// Counted from 1.
    number: u64,
    /// Length of the line in bytes.
    bytes: usize,
    event: Value,
}

/// Publishes the file and prints a summary as the last line. The exit code is 1 if a line was refused.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let client = Arc::new(client_for(&settings, None)?);
    let tenant = args.tenant.find(&settings);
    let file = File::open(&args.file)
        .map_err(|error| Failure::usage(format!("cannot open {}: {error}", args.file.display())))?;
    let bar = progress(file.metadata()?.len(), "importing");
    let compressed = args.file.extension().is_some_and(|ending| ending == "gz");
    let source = bar.wrap_read(file);
    let source: Box<dyn Read + Send> =
        if compressed { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };

    let mut lanes = Vec::new();
    let mut workers = JoinSet::new();
    for _ in 0..LANES {
        let (lane, events) = mpsc::channel::<Line>(2 * MAX_BATCH_EVENTS);
        lanes.push(lane);
        workers.spawn(publish_lane(client.clone(), events));
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
        Output::Json => print(serde_json::to_string(&summary)?)?,
        Output::Table => {
            let Summary { read, stored, duplicates, refused } = summary;
            print(format_args!("{read} read, {stored} stored, {duplicates} already stored, {refused} refused"))?;
        }
    }
    Ok(if summary.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the lines and sends each to its plan's lane. Returns the number of lines, and of those that are not valid JSON.
fn read_lines(source: impl Read, tenant: Option<&str>, lanes: &[mpsc::Sender<Line>]) -> Result<(u64, u64), Failure> {
    let (mut read_lines, mut refused) = (0, 0);
    for (line, number) in BufReader::new(source).split(b'\n').zip(1_u64..) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        read_lines += 1;
        match read(&line, LINE_LIMITS) {
            Ok(mut event) => {
                // `--tenant` applies only to events that name no tenant.
                if let (Value::Object(members), Some(tenant)) = (&mut event, tenant) {
                    members.entry("tenantid").or_insert_with(|| tenant.into());
                }
                let index = lane_index(&event);
                // The lane's worker has failed. It reports the failure itself.
                if lanes[index].blocking_send(Line { number, bytes: line.len(), event }).is_err() {
                    break;
                }
            }
            Err(error) => {
                refused += 1;
                report_refused(number, error.refusal.code(), &error.to_string());
            }
        }
    }
    Ok((read_lines, refused))
}

/// Returns the index of the lane of an event, which is the same for all events of a plan.
fn lane_index(event: &Value) -> usize {
    let mut hasher = DefaultHasher::new();
    (event["tenantid"].as_str(), event["subject"].as_str()).hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES).expect("a number below the number of lanes fits a usize")
}

/// Publishes the events of a lane in order, in batches of those that have arrived.
async fn publish_lane(client: Arc<Client>, mut events: mpsc::Receiver<Line>) -> Result<Summary, Failure> {
    let mut summary = Summary::default();
    let mut waiting = Vec::with_capacity(MAX_BATCH_EVENTS);
    while !waiting.is_empty() || events.recv_many(&mut waiting, MAX_BATCH_EVENTS).await > 0 {
        let batch: Vec<Line> = waiting.drain(..batch_length(&waiting)).collect();
        let (numbers, values): (Vec<u64>, Vec<Value>) = batch.into_iter().map(|line| (line.number, line.event)).unzip();
        let outcomes = client.publish_cloudevents(&values).await?;
        for ((line, value), outcome) in numbers.into_iter().zip(values).zip(outcomes) {
            // The events of a plan in a batch are refused together. Published alone, only the invalid one is refused.
            let outcome = match outcome {
                Outcome::Refused(_) => client.publish_cloudevents(std::slice::from_ref(&value)).await?.remove(0),
                stored @ Outcome::Stored(_) => stored,
            };
            match outcome {
                Outcome::Stored(published) if published.new => summary.stored += 1,
                Outcome::Stored(_) => summary.duplicates += 1,
                // An error of the service ends the import.
                Outcome::Refused(problem) if problem.status >= 500 => {
                    return Err(Failure::new(format!(
                        "line {line} cannot be stored: {problem}; run the import again, it skips what is already stored"
                    )));
                }
                Outcome::Refused(problem) => {
                    summary.refused += 1;
                    report_refused(line, &problem.code, &problem.to_string());
                }
            }
        }
    }
    Ok(summary)
}

/// Returns how many of the first lines fit into one batch: at least one.
fn batch_length(lines: &[Line]) -> usize {
    let sums = lines.iter().scan(0, |sum, line| {
        *sum += line.bytes;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= MAX_BATCH_BYTES).count().max(1)
}

fn report_refused(line: u64, code: &str, detail: &str) {
    notice(format_args!("line {line} is refused ({code}): {detail}"));
}
