//! `sealbus inspect`: prints one event with its record, proof and verdict, and the trusted times around its sealing.

use std::process::ExitCode;

use sealbus_core::event::{Record, plain_uuid};
use sealbus_core::names::Plan;
use sealbus_core::timestamp::Timestamp;
use sealbus_core::verify::{AnchorState, Finding, exit_code};
use sealbus_ledger::verification::Scope;
use sealbus_runtime::settings::{Settings, table};
use serde_json::json;
use uuid::Uuid;

use super::arguments::{AnchorArgs, TenantArgs};
use crate::evidence::LedgerEvidence;
use crate::evidence::anchors::{Newest, described};
use crate::evidence::ledger::{self, VerifyRequest};
use crate::failure::Failure;
use crate::output::{Output, notice, print, printable};
use crate::wiring;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of the event, a UUID in lower case with dashes
    #[arg(value_parser = event_id)]
    event: Uuid,
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    anchors: AnchorArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Verifies the event's plan and prints the event. The exit code is that of `sealbus verify` for this event and the log.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    let tenant = args.tenant.require(&settings)?;
    let ledger = wiring::open_ledger_to_verify(&settings, 1).await?;
    let record = ledger.history().event(&tenant, args.event).await?;
    let record = record.ok_or_else(|| Failure::new(format!("tenant {tenant} has no event {}", args.event)))?;
    let evidence = LedgerEvidence::open(ledger, &settings).await?;
    let request = VerifyRequest {
        scope: Scope::Plan(tenant, Plan::parse_any(&record.header.plan)?),
        wait: false,
        since: None,
        resume: None,
        receipts: Vec::new(),
        max_age: 3 * settings.get(table::HEARTBEAT_INTERVAL),
        workers: 1,
    };
    let outcome = ledger::verify(&evidence, &request).await?;
    let proof = match Newest::anchored(&outcome.notes, &evidence.pins) {
        Ok(newest) if record.log_index.is_some_and(|index| index < newest.size) => {
            newest.prove(&evidence.ledger, &record).await?
        }
        _ => None,
    };
    let log_findings: Vec<_> = outcome.report.log_findings().collect();
    let mut findings = outcome.report.findings();
    let finding = findings.find(|finding| finding.seq == record.header.seq && finding.plan == record.header.plan);
    let inspected = Inspected {
        sealed_after: record.log_index.and_then(|index| outcome.log.last_unseen(index)).and_then(timestamp),
        seen_by: record.log_index.and_then(|index| outcome.log.first_seen(index)).and_then(timestamp),
        record,
        proof,
        finding,
    };
    match args.output {
        Output::Json => print(inspected.to_json())?,
        Output::Table => print(inspected.to_text())?,
    }
    for finding in &log_findings {
        notice(format_args!("the log: {} {} {}", finding.verdict, finding.place, finding.detail));
    }
    for anchor in outcome.report.anchors.iter().filter(|anchor| anchor.state != AnchorState::Read) {
        notice(format_args!("an anchor is not compared: {}", described(anchor)));
    }
    let verdicts =
        log_findings.iter().map(|finding| finding.verdict).chain(inspected.finding.map(|finding| finding.verdict));
    Ok(args.anchors.exit_code(exit_code(verdicts), &outcome.report))
}

struct Inspected {
    record: Record,
    /// The proof against the newest anchored checkpoint, if that covers the event.
    proof: Option<String>,
    finding: Option<Finding>,
    /// The last trusted time at which the log did not contain the event.
    sealed_after: Option<String>,
    /// The first trusted time at which the log contained the event.
    seen_by: Option<String>,
}

impl Inspected {
    fn to_json(&self) -> serde_json::Value {
        let finding = self.finding.as_ref();
        json!({
            "event": self.record.to_json(), "verdict": finding.map_or("ok", |finding| finding.verdict.as_str()),
            "detail": finding.map(|finding| &finding.detail), "sealed_after": self.sealed_after, "seen_by": self.seen_by,
            "proof": self.proof,
        })
    }

    /// Returns a line for each member that the event has, and the proof.
    fn to_text(&self) -> String {
        let header = &self.record.header;
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let rows = [
            ("event", header.event_id.to_string()),
            ("place", format!("{}/{}/{}", header.tenant, header.plan, header.seq)),
            ("type", format!("{} version {}", header.event_type, header.data_version)),
            ("source", header.source.clone()),
            ("actor", header.actor.clone()),
            ("correlation", header.correlation_id.clone()),
            ("causation", header.causation_id.clone()),
            ("occurred", header.occurred.to_string()),
            ("recorded", header.recorded.to_string()),
            (
                "payload",
                format!("{}, {} bytes, {}", header.payload_mode.as_str(), header.payload_size, header.payload_hash),
            ),
            ("data", optional(&self.record.payload)),
            ("metadata", self.record.metadata.clone()),
            ("hash", self.record.event_hash.to_string()),
            ("prev", header.prev.to_string()),
            ("key", header.kid.as_str().to_owned()),
            ("log index", self.record.log_index.map_or("not sealed yet".to_owned(), |index| index.to_string())),
            ("sealed after", optional(&self.sealed_after)),
            ("seen by", optional(&self.seen_by)),
            (
                "verdict",
                self.finding
                    .as_ref()
                    .map_or("ok".to_owned(), |finding| format!("{}: {}", finding.verdict, finding.detail)),
            ),
        ];
        let rows = rows.iter().filter(|(_, value)| !value.is_empty());
        let lines = rows.map(|(name, value)| format!("{name:<12} {}", printable(value)));
        lines.chain(self.proof.as_ref().map(|proof| format!("\n{proof}"))).collect::<Vec<_>>().join("\n")
    }
}

fn event_id(text: &str) -> Result<Uuid, &'static str> {
    plain_uuid(text).ok_or("must be a UUID in lower case with dashes")
}

/// Returns a time in seconds since 1970 as text, or `None` for a time that a timestamp cannot hold.
fn timestamp(seconds: u64) -> Option<String> {
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Timestamp::from_micros(micros).map(|time| time.to_string())
}
