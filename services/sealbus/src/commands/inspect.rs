//! `sealbus inspect`: one event, with its record, its proof, its verdict, and what trusted clocks say of its time.

use std::process::ExitCode;

use sealbus_core::event::Record;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{Finding, exit_code};
use sealbus_ledger::verification::Scope;
use sealbus_runtime::settings::{Settings, table};
use serde_json::json;
use uuid::Uuid;

use super::names;
use crate::evidence::anchors::Anchors;
use crate::evidence::ledger::{self, Question};
use crate::evidence::newest::Newest;
use crate::evidence::pins::Pins;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::wiring;

/// Which event.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its id, a UUID
    event: Uuid,
    /// Its tenant; otherwise SEALBUS_TENANT
    #[arg(long, value_parser = Tenant::parse_any)]
    tenant: Option<Tenant>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints it; ends as `verify` does of this event alone.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let tenant = names::tenant(args.tenant, &settings)?;
    let tenant = tenant.ok_or_else(|| Failure::usage("whose event? give --tenant or set SEALBUS_TENANT"))?;
    let ledger = wiring::open_ledger(&settings).await?;
    let record = ledger.history().event(&tenant, args.event).await?;
    let record = record.ok_or_else(|| Failure::new(format!("tenant {tenant} has no event {}", args.event)))?;
    let pins = Pins::of_deployment(&settings, &ledger.deployment().origin)?;
    let anchors = Anchors::open(&settings).await?;
    let plan = Plan::parse_any(&record.header.plan)?;
    let question =
        Question { max_age: 3 * settings.get(table::HEARTBEAT_INTERVAL), ..Question::of(Scope::Plan(tenant, plan)) };
    let answer = ledger::verify(&ledger, &pins, &anchors, &question).await?;
    let proof = match Newest::anchored(&anchors.notes().await?, &pins) {
        Ok(newest) if record.log_index.is_some_and(|index| index < newest.size) => {
            newest.prove(&ledger, &record).await?
        }
        _ => None,
    };
    let of_log: Vec<_> = answer.report.log_findings().collect();
    let finding =
        answer.report.findings().find(|finding| finding.seq == record.header.seq && finding.plan == record.header.plan);
    let inspected = Inspected {
        after: record.log_index.and_then(|index| answer.log.last_unseen(index)).and_then(moment),
        before: record.log_index.and_then(|index| answer.log.first_seen(index)).and_then(moment),
        record,
        proof,
        finding,
    };
    match args.output {
        Output::Json => println!("{}", inspected.to_json()),
        Output::Table => inspected.print(),
    }
    for finding in &of_log {
        eprintln!("sealbus: of the log: {} {} {}", finding.verdict, printable(&finding.place), finding.detail);
    }
    anchors.close().await;
    ledger.close().await;
    let verdicts = of_log.iter().map(|finding| finding.verdict).chain(inspected.finding.map(|finding| finding.verdict));
    Ok(ExitCode::from(exit_code(verdicts)))
}

/// All that is known of one event.
struct Inspected {
    record: Record,
    proof: Option<String>,
    finding: Option<Finding>,
    /// The last time that a trusted key saw the log without it.
    after: Option<String>,
    /// The first time that one saw the log with it.
    before: Option<String>,
}

impl Inspected {
    fn verdict(&self) -> &'static str {
        self.finding.as_ref().map_or("ok", |finding| finding.verdict.as_str())
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "event": self.record.to_json(), "verdict": self.verdict(), "detail": self.finding.as_ref().map(|finding| &finding.detail),
            "sealed_after": self.after, "seen_by": self.before, "proof": self.proof,
        })
    }

    fn print(&self) {
        let header = &self.record.header;
        let line = |name: &str, value: &str| println!("{name:<12} {}", printable(value));
        let optional = |name: &str, value: &str| {
            if !value.is_empty() {
                line(name, value);
            }
        };
        line("event", &header.event_id.to_string());
        line("place", &format!("{}/{}/{}", header.tenant, header.plan, header.seq));
        line("type", &format!("{} version {}", header.event_type, header.data_version));
        optional("source", &header.source);
        optional("actor", &header.actor);
        optional("correlation", &header.correlation_id);
        optional("causation", &header.causation_id);
        line("occurred", &header.occurred.to_string());
        line("recorded", &header.recorded.to_string());
        line(
            "payload",
            &format!("{}, {} bytes, {}", header.payload_mode.as_str(), header.payload_size, header.payload_hash),
        );
        optional("data", self.record.payload.as_deref().unwrap_or_default());
        line("metadata", &self.record.metadata);
        line("hash", &self.record.event_hash.to_string());
        line("prev", &header.prev.to_string());
        line("key", header.kid.as_str());
        match self.record.log_index {
            Some(index) => line("log index", &index.to_string()),
            None => line("log index", "none yet"),
        }
        optional("sealed after", self.after.as_deref().unwrap_or_default());
        optional("seen by", self.before.as_deref().unwrap_or_default());
        match &self.finding {
            None => line("verdict", "ok"),
            Some(finding) => line("verdict", &format!("{}: {}", finding.verdict, finding.detail)),
        }
        if let Some(proof) = &self.proof {
            println!("\n{proof}");
        }
    }
}

fn moment(seconds: u64) -> Option<String> {
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Timestamp::from_micros(micros).map(|time| time.to_string())
}
