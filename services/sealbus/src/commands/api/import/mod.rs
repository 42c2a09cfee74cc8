//! `sealbus import`: publishes a file of CloudEvents, one JSON object per line, plain or compressed with gzip.
//!
//! The order within each plan is kept: all lines of a plan are published by the same lane, one batch after the other, and
//! after a refused line the later ones of its plan are held back. An import can be interrupted and run again, because an event
//! that is already stored is recognised by its id (docs/spec/interface.md#commands-import).

mod lane;
mod lines;

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use sealbus_runtime::settings::{Settings, table};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use self::lane::{Lane, MAX_BATCH_EVENTS, QueuedLine, report_refused};
use self::lines::{Lines, PlanName};
use super::{ApiTenantArgs, client_for};
use crate::failure::{Context as _, Failure};
use crate::output::{Output, print, progress};

/// Number of lanes, each of which has one batch in flight.
const LANES: u64 = 8;
/// Maximum total number of bytes in the lines that have been read and not been published yet. A longer line is read alone.
const MAX_QUEUED_BYTES: u32 = 16 << 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of CloudEvents, one JSON object per line, plain or compressed with gzip. An event without an id gets one that is
    /// derived from its content and the number of its line
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
    /// Lines that were not published, because an earlier line of their plan was refused.
    held_back: u64,
    /// Number of the line at which the import ended before the end of the file, because it cannot be read.
    ended_at_line: Option<u64>,
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.read += other.read;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.held_back += other.held_back;
        self.ended_at_line = self.ended_at_line.or(other.ended_at_line);
    }

    fn print(&self, output: Output) -> Result<(), Failure> {
        if output == Output::Json {
            return print(serde_json::to_string(self)?);
        }
        let Self { read, stored, duplicates, refused, held_back, ended_at_line } = self;
        let held_back = match held_back {
            0 => String::new(),
            lines => format!(", {lines} held back, because an earlier line of their plan was refused"),
        };
        let end = ended_at_line.map_or_else(String::new, |line| format!("; the file was not read beyond line {line}"));
        print(format_args!(
            "{read} read, {stored} stored, {duplicates} already stored, {refused} refused{held_back}{end}"
        ))
    }
}

/// Publishes the file and prints a summary as the last line. The exit code is 1 if a line was refused.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let client = Arc::new(client_for(&settings, None)?);
    let file = File::open(&args.file)
        .map_err(|error| Failure::usage(format!("cannot open {}: {error}", args.file.display())))?;
    let bar = progress(file.metadata()?.len(), "importing");
    let source =
        lines::decompressed(bar.wrap_read(file)).context(format_args!("cannot read {}", args.file.display()))?;
    let max_line_bytes = usize::try_from(settings.get(table::MAX_BODY).bytes()).unwrap_or(usize::MAX);
    let lines = Lines::new(source, max_line_bytes, args.tenant.find(&settings));

    let mut queues = Vec::new();
    let mut workers = JoinSet::new();
    for _ in 0..LANES {
        let (queue, receiver) = mpsc::channel(2 * MAX_BATCH_EVENTS);
        queues.push(queue);
        workers.spawn(Lane::new(client.clone()).publish_all(receiver));
    }
    let runtime = Handle::current();
    let (read, reading) = oneshot::channel();
    // After a failure, the runtime would wait for a thread of its own that waits for the next line, and the process would not end.
    thread::spawn(move || read.send(read_lines(lines, &queues, &runtime)));
    let mut summary = Summary::default();
    while let Some(counted) = workers.join_next().await {
        summary.add(counted??);
    }
    summary.add(reading.await?);
    bar.finish_and_clear();
    summary.print(args.output)?;
    Ok(if summary.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the lines and queues each in its plan's lane. Ends at a line that could belong to any plan, since no later line may
/// be published before it.
fn read_lines(lines: Lines<impl BufRead>, queues: &[mpsc::Sender<QueuedLine>], runtime: &Handle) -> Summary {
    let memory = Arc::new(Semaphore::new(MAX_QUEUED_BYTES as usize));
    let mut summary = Summary::default();
    for line in lines {
        summary.read += 1;
        let line = match line {
            Ok(line) => line,
            Err((number, refusal)) => {
                report_refused(number, &refusal);
                summary.refused += 1;
                summary.ended_at_line = Some(number);
                continue;
            }
        };
        let weight = u32::try_from(line.bytes).unwrap_or(u32::MAX).min(MAX_QUEUED_BYTES);
        let memory =
            runtime.block_on(memory.clone().acquire_many_owned(weight)).expect("the semaphore is never closed");
        let queue = &queues[lane_index(&line.plan)];
        // The lane's worker has failed. It reports the failure itself.
        if queue.blocking_send(QueuedLine { line, memory }).is_err() {
            break;
        }
    }
    summary
}

/// Returns the index of the lane of a plan. The tenant has no part in it: two lines of a plan may name it and leave it out.
fn lane_index(plan: &PlanName) -> usize {
    let mut hasher = DefaultHasher::new();
    plan.subject.hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES).expect("a number below the number of lanes fits a usize")
}
