//! `sealbus verify`: checks the chains and seals of a plan, a tenant, or everything, straight from the ledger.

use std::process::ExitCode;
use std::time::Duration;

use sealbus_core::names::{Plan, Tenant};
use sealbus_core::seal::Keyring;
use sealbus_core::verify::{Finding, Verdict};
use sealbus_ledger::verification::{Progress, Scope, Verified};
use sealbus_ledger::{Ledger, LedgerConfig};
use sealbus_runtime::settings::{Settings, table};
use serde_json::json;

use super::names;
use crate::failure::Failure;
use crate::output::{Output, progress};

/// How long `--wait` goes on while nothing is sealed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to check.
#[derive(clap::Args)]
pub struct Args {
    /// One plan, of `--tenant` or SEALBUS_TENANT
    #[arg(long, conflicts_with = "all", value_parser = Plan::parse_any)]
    plan: Option<Plan>,
    /// Every plan of a tenant
    #[arg(long, conflicts_with = "all", value_parser = Tenant::parse_any)]
    tenant: Option<Tenant>,
    /// Every plan of every tenant
    #[arg(long)]
    all: bool,
    /// First wait until all that stands now is sealed
    #[arg(long)]
    wait: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints a line for each finding and a summary.
///
/// Exit codes: 0 clean, 3 for a finding, 4 where the only findings say that something is not anchored yet, 2 for a wrong
/// question, 1 where the ledger could not be read.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let scope = scope(&args, &settings)?;
    let keyring = Keyring::load(&settings.require(table::KEYRING)?)?;
    let ledger = Ledger::open(&LedgerConfig::new(settings.require(table::DATABASE_URL)?.expose())).await?;
    if let Some(origin) = settings.find(table::ORIGIN) {
        ledger.check_origin(&origin)?;
    }
    if args.wait {
        let sealed = ledger.wait_until_sealed(Duration::from_millis(100), PATIENCE).await?;
        if !sealed {
            eprintln!(
                "sealbus: some events got no leaf for {} s: no sealer runs, or their plans are wrong",
                PATIENCE.as_secs()
            );
        }
    }

    let bar = progress(ledger.events_in(&scope).await?, "verifying");
    let mut findings = Vec::new();
    let verified = ledger
        .verify(&scope, &keyring, |progress| match progress {
            Progress::Events(events) => bar.set_position(events),
            Progress::Found(finding) => {
                if args.output == Output::Table {
                    bar.suspend(|| println!("{}", line(finding)));
                }
                findings.push(finding.clone());
            }
        })
        .await?;
    bar.finish_and_clear();
    match args.output {
        Output::Json => println!("{}", summary(&verified, &findings)),
        Output::Table => println!("{}", sentence(&verified, findings.len())),
    }
    Ok(exit_code(&findings))
}

fn scope(args: &Args, settings: &Settings) -> Result<Scope, Failure> {
    match (args.all, names::tenant(args.tenant.clone(), settings)?, args.plan.clone()) {
        (true, _, _) => Ok(Scope::Everything),
        (false, Some(tenant), Some(plan)) => Ok(Scope::Plan(tenant, plan)),
        (false, None, Some(_)) => Err(Failure::usage("--plan needs a tenant: give --tenant or set SEALBUS_TENANT")),
        (false, Some(tenant), None) if args.tenant.is_some() => Ok(Scope::Tenant(tenant)),
        (false, _, None) => Err(Failure::usage("say what to verify: --plan P, --tenant T or --all")),
    }
}

fn line(finding: &Finding) -> String {
    format!("{} {}/{}/{} {}", finding.verdict, finding.tenant, finding.plan, finding.seq, finding.detail)
}

fn summary(verified: &Verified, findings: &[Finding]) -> serde_json::Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "verdict": finding.verdict, "where": format!("{}/{}/{}", finding.tenant, finding.plan, finding.seq),
                "tenant": finding.tenant, "plan": finding.plan, "seq": finding.seq, "detail": finding.detail,
            })
        })
        .collect();
    // Nothing is vouched for by the chains alone: that takes a tree and an anchor.
    json!({"events": verified.events, "plans": verified.plans, "sealed": verified.sealed, "unchecked": verified.unchecked,
           "vouched": null, "findings": findings})
}

fn sentence(verified: &Verified, findings: usize) -> String {
    let Verified { events, plans, sealed, unchecked } = verified;
    let checked = match findings {
        0 => "every chain holds".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    let passed_over = if *unchecked == 0 {
        String::new()
    } else {
        format!("; {unchecked} MACs were passed over for want of their key")
    };
    format!(
        "{events} events in {plans} plans, {sealed} of them sealed: {checked}{passed_over} (chains only: nothing is vouched for by a checkpoint)"
    )
}

fn exit_code(findings: &[Finding]) -> ExitCode {
    let counted = || findings.iter().filter(|finding| finding.verdict != Verdict::Erased);
    match (counted().next(), counted().all(|finding| finding.verdict == Verdict::Unanchored)) {
        (None, _) => ExitCode::SUCCESS,
        (Some(_), true) => ExitCode::from(4),
        (Some(_), false) => ExitCode::from(3),
    }
}
