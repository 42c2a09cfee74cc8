//! `sealbus verify`: checks a ledger, straight from its tables, with its log and its anchors; or a bundle, with what is pinned
//! and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sealbus_core::clock::Clock as _;
use sealbus_core::duration;
use sealbus_core::verify::Report;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::{Settings, table};

use super::scope::ScopeArgs;
use crate::evidence::anchors::Anchors;
use crate::evidence::bundle::{self, Source};
use crate::evidence::ledger::{self, Question};
use crate::evidence::pins::Pins;
use crate::failure::Failure;
use crate::output::{Output, printable, progress};
use crate::wiring;

/// Connections of each worker, and of the checks before and after them.
const CONNECTIONS_PER_WORKER: usize = 2;

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
    /// A bundle instead, a folder or a tar that `sealbus export` wrote: no server, no database, no secret is needed
    #[arg(long, value_name = "PATH", requires = "trust", conflicts_with_all = ["plan", "tenant", "all", "wait", "since", "resume", "jobs"])]
    bundle: Option<PathBuf>,
    /// What is pinned, a folder that `sealbus trust` wrote
    #[arg(long, value_name = "DIR", requires = "bundle")]
    trust: Option<PathBuf>,
    /// A record that a publisher was handed: its event must be there
    #[arg(long, value_name = "FILE", num_args = 1..)]
    receipt: Vec<PathBuf>,
    /// How old the newest trusted time may be: three heartbeats of a ledger, any age of a bundle
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_age: Option<Duration>,
    /// First wait until all that stands now is anchored; what comes later is passed over
    #[arg(long)]
    wait: bool,
    /// A checkpoint that was verified before: only what came after it is read
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Keep what is done in this file, and go on from it where it is there already
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Plans that are read at once; otherwise as many as there are processors
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: Option<u8>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What a verification does not speak of.
struct Reach {
    /// Events that came after it began.
    later: u64,
    /// Whether it saw some plans of a log, and not what else there is in it.
    plans_alone: bool,
}

/// Prints a line for each finding and a summary.
///
/// Exit codes: 0 clean, 3 for a finding, 4 where the only findings say that something is not anchored yet, 2 for a wrong
/// question, 1 where something could not be read.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let output = args.output;
    let (report, reach) = match (&args.bundle, &args.trust) {
        (Some(path), Some(trust)) => tokio::task::block_in_place(|| of_bundle(&args, path, trust))?,
        _ => of_ledger(args).await?,
    };
    match output {
        Output::Json => println!("{}", serde_json::to_string(&report)?),
        Output::Table => {
            for finding in report.log_findings() {
                println!("{} {} {}", finding.verdict, printable(&finding.place), finding.detail);
            }
            for finding in report.findings() {
                println!("{} {} {}", finding.verdict, printable(&finding.place()), finding.detail);
            }
            println!("{}", sentence(&report, &reach));
        }
    }
    Ok(ExitCode::from(report.exit_code()))
}

async fn of_ledger(args: Args) -> Result<(Report, Reach), Failure> {
    let settings = Settings::from_environment()?;
    let scope = args.scope.scope(&settings)?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = args.jobs.map_or(processors, usize::from);
    let connections = u32::try_from(CONNECTIONS_PER_WORKER * (workers + 1))
        .map_err(|_| Failure::usage(format!("{workers} processors are too many: give --jobs")))?;
    let ledger = wiring::open_ledger_with(&settings, connections).await?;
    let pins = Pins::of_deployment(&settings, &ledger.deployment().origin)?;
    let anchors = Anchors::open(&settings).await?;
    let question = Question {
        wait: args.wait,
        since: args.since,
        resume: args.resume,
        receipts: args.receipt,
        max_age: args.max_age.unwrap_or(3 * settings.get(table::HEARTBEAT_INTERVAL)),
        workers,
        ..Question::of(scope)
    };
    let answer = ledger::verify(&ledger, &pins, &anchors, &question).await?;
    anchors.close().await;
    ledger.close().await;
    Ok((answer.report, Reach { later: answer.later, plans_alone: false }))
}

fn of_bundle(args: &Args, path: &std::path::Path, trust: &std::path::Path) -> Result<(Report, Reach), Failure> {
    let pins = Pins::of_folder(trust)?;
    let bundle = Source::open(path)?;
    let now = SystemClock.unix_seconds();
    let bar = progress(bundle.size()?, "verifying");
    let max_age = args.max_age.map(|age| age.as_secs());
    let report = bundle::verify(&bundle, &pins, &args.receipt, now, max_age, |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    Ok((report, Reach { later: 0, plans_alone: !bundle.is_whole() }))
}

fn sentence(report: &Report, reach: &Reach) -> String {
    let Report { events, plans, sealed, unchecked, .. } = report;
    let found = match report.log_findings().count() + report.findings().count() {
        0 => "all of it holds".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    let mut parts = vec![format!("{events} events in {plans} plans, {sealed} of them sealed: {found}")];
    if *unchecked > 0 {
        parts.push(format!("{unchecked} MACs were passed over for want of their secret"));
    }
    if reach.later > 0 {
        parts.push(format!("{} events came later and were passed over", reach.later));
    }
    parts.push(match report.vouched {
        Some(vouched) => {
            let time = vouched.as_of().unwrap_or_else(|| "no trusted time".to_owned());
            let of = if reach.plans_alone { ", of the plans that are here, not that nothing followed" } else { "" };
            format!("vouched for up to log index {}, as of {time}{of}", vouched.log_index)
        }
        None => "nothing is vouched for".to_owned(),
    });
    parts.join("; ")
}
