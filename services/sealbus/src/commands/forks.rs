//! `sealbus forks`: lists the plans that stopped because the history that a subscription applied is not the ledger's, and
//! records how an operator settles them.

use clap::Subcommand;
use sealbus_ledger::delivery::command::OperatorAction;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_runtime::settings::Settings;
use serde_json::{Value, json};

use super::blocked::{DecisionArgs, Found, ListArgs, PositionArgs, detail_to_json, find, issue, list, request};
use crate::failure::Failure;
use crate::output::print;
use crate::wiring;

/// How many of the ledger's events `show` prints.
const SHOWN_EVENTS: u32 = 20;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the plans that are stopped at a fork
    List(ListArgs),
    /// Print one fork as JSON: what was applied last, what arrived, and the ledger's last 20 events up to that place
    Show(PositionArgs),
    /// Let a plan go on after the event of the ledger that counts as the last one that was applied
    ///
    /// The ledger's events after it are delivered, also where others with the same seqs were applied before.
    Settle {
        /// Seq of that event; 0 to deliver the whole plan again
        #[arg(long, value_name = "SEQ")]
        applied: u64,
        #[command(flatten)]
        decision: DecisionArgs,
    },
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    match command {
        Command::List(args) => list(&settings, args, vec![PositionState::Fork]).await,
        Command::Show(position) => show(&settings, position).await,
        Command::Settle { applied, decision } => settle(&settings, applied, decision).await,
    }
}

async fn show(settings: &Settings, position: PositionArgs) -> Result<(), Failure> {
    let Found { ledger, tenant, plan, detail } = find(settings, position).await?;
    if detail.position.state != PositionState::Fork {
        let state = detail.position.state;
        return Err(Failure::new(format!("{tenant}/{plan} is {state}, not a fork; use `sealbus dead-letters show`")));
    }
    let history = ledger.history();
    let head = history.head(&tenant, &plan, None).await?.map_or(0, |head| head.seq);
    let last = head.min(detail.position.seq);
    let first = last.saturating_sub(u64::from(SHOWN_EVENTS) - 1).max(1);
    let records = match history.plan_no(tenant.as_str(), plan.as_str()).await? {
        Some(plan_no) => history.range(plan_no, first, last, SHOWN_EVENTS).await?,
        None => Vec::new(),
    };
    let applied = json!({ "seq": detail.position.seq.saturating_sub(1), "hash": detail.position.last_hash });
    let mut shown = detail_to_json(detail);
    shown["applied"] = applied;
    shown["head"] = head.into();
    let summary = |record: &sealbus_core::event::Record| {
        let header = &record.header;
        json!({
            "seq": header.seq, "id": header.event_id, "hash": record.event_hash, "type": header.event_type,
            "recorded_at": header.recorded.to_string(),
        })
    };
    shown["ledger"] = records.iter().map(summary).collect::<Vec<Value>>().into();
    print(format_args!("{shown:#}"))
}

async fn settle(settings: &Settings, applied: u64, decision: DecisionArgs) -> Result<(), Failure> {
    let request = request(settings, decision)?;
    let ledger = wiring::open_ledger(settings).await?;
    let missing = || Failure::new(format!("the ledger has no event {applied} in {}/{}", request.tenant, request.plan));
    let event_hash = ledger.dead_letters().hash_at(&request, applied).await?.ok_or_else(missing)?;
    issue(&ledger, settings, &request, OperatorAction::Settle { event_seq: applied, event_hash }).await
}
