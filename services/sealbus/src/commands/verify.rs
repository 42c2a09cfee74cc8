//! `sealbus verify`: verifies a ledger, from its tables, log and anchors; or a bundle, with nothing but what is pinned.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use sealbus_core::clock::Clock as _;
use sealbus_core::duration;
use sealbus_core::verify::Report;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::{Settings, table};

use super::arguments::{AnchorArgs, ScopeArgs};
use crate::evidence::LedgerEvidence;
use crate::evidence::anchors::described;
use crate::evidence::bundle::{self, Source};
use crate::evidence::ledger::{self, VerifyOutcome, VerifyRequest};
use crate::evidence::pins::Pins;
use crate::failure::Failure;
use crate::output::{Output, print, printable, progress};
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    anchors: AnchorArgs,
    /// Verify a bundle (a folder or tar of `sealbus export`) instead of a ledger; needs no server, database or secret
    #[arg(long, value_name = "PATH", requires = "trust", conflicts_with_all = ["plan", "tenant", "all", "wait", "since", "resume", "jobs", "allow_missing_anchors"])]
    bundle: Option<PathBuf>,
    /// Folder with what is pinned, as `sealbus trust` writes it
    #[arg(long, value_name = "DIR", requires = "bundle")]
    trust: Option<PathBuf>,
    /// Receipts whose events must be present
    #[arg(long, value_name = "FILE", num_args = 1..)]
    receipt: Vec<PathBuf>,
    /// Maximum age of the newest trusted time [default: three heartbeats for a ledger, unlimited for a bundle]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_age: Option<Duration>,
    /// Wait until every event present now is anchored; ignore later events
    #[arg(long)]
    wait: bool,
    /// Checkpoint that was verified before; only later events are read
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Save progress to FILE, and resume from it if it exists
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Number of plans verified in parallel, 1 to 64 [default: number of CPUs]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: Option<u8>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints one line for each finding, and a summary. The exit codes are those of docs/spec/interface.md#commands-exit.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let (output, anchors) = (args.output, args.anchors);
    let (report, later_events, plans_only) = if let (Some(path), Some(trust)) = (&args.bundle, &args.trust) {
        let (report, plans_only) = tokio::task::block_in_place(|| verify_bundle(&args, path, trust))?;
        (report, 0, plans_only)
    } else {
        let outcome = verify_ledger(args).await?;
        (outcome.report, outcome.later_events, false)
    };
    match output {
        Output::Json => print(serde_json::to_string(&report)?)?,
        Output::Table => {
            for finding in report.log_findings() {
                print(format_args!(
                    "{} {}",
                    finding.verdict,
                    printable(&format!("{} {}", finding.place, finding.detail))
                ))?;
            }
            for finding in report.findings() {
                print(format_args!(
                    "{} {}",
                    finding.verdict,
                    printable(&format!("{} {}", finding.place(), finding.detail))
                ))?;
            }
            for anchor in &report.anchors {
                print(format_args!("anchor {}", printable(&described(anchor))))?;
            }
            print(summary(&report, later_events, plans_only))?;
        }
    }
    Ok(anchors.exit_code(report.exit_code(), &report))
}

async fn verify_ledger(args: Args) -> Result<VerifyOutcome, Failure> {
    let settings = Settings::from_environment()?;
    let scope = args.scope.scope(&settings)?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = args.jobs.map_or(processors, usize::from);
    let ledger = wiring::open_ledger_to_verify(&settings, workers).await?;
    let evidence = LedgerEvidence::open(ledger, &settings).await?;
    let request = VerifyRequest {
        scope,
        wait: args.wait,
        since: args.since,
        resume: args.resume,
        receipts: args.receipt,
        max_age: args.max_age.unwrap_or(3 * settings.get(table::HEARTBEAT_INTERVAL)),
        workers,
    };
    ledger::verify(&evidence, &request).await
}

/// Also returns whether only some plans of a log were verified, of which later events may be missing.
fn verify_bundle(args: &Args, path: &Path, trust: &Path) -> Result<(Report, bool), Failure> {
    let pins = Pins::of_folder(trust)?;
    let bundle = Source::open(path)?;
    let now = SystemClock.unix_seconds();
    let bar = progress(bundle.bytes_to_read(), "verifying");
    let max_age = args.max_age.map(|age| age.as_secs());
    let report = bundle::verify(&bundle, &pins, &args.receipt, now, max_age, |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    Ok((report, !bundle.is_whole()))
}

fn summary(report: &Report, later_events: u64, plans_only: bool) -> String {
    let Report { events, plans, sealed, unchecked, .. } = report;
    let findings = match report.log_findings().count() + report.findings().count() {
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    let mut parts = vec![format!("{events} events in {plans} plans, {sealed} of them sealed: {findings}")];
    if *unchecked > 0 {
        parts.push(format!("{unchecked} MACs and v1 signatures not checked, because the keyring lacks their secret"));
    }
    if later_events > 0 {
        parts.push(format!("{later_events} later events not checked"));
    }
    parts.push(match report.vouched {
        Some(vouched) => {
            let time = vouched.as_of().unwrap_or_else(|| "no trusted time".to_owned());
            let limit = if plans_only { ", for these plans only; later events may be missing" } else { "" };
            format!("vouched for up to log index {}, as of {time}{limit}", vouched.log_index)
        }
        None => "nothing is vouched for".to_owned(),
    });
    parts.join("; ")
}
