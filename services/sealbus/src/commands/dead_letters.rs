//! `sealbus dead-letters`: lists what could not be delivered, and records an operator's redrive or skip.

use clap::Subcommand;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_ledger::append::Appender;
use sealbus_ledger::delivery::command::OperatorAction;
use sealbus_ledger::delivery::dead_letters::{BlockedPosition, BlockedQuery};
use sealbus_ledger::delivery::operator::OperatorRequest;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_runtime::settings::Settings;
use serde_json::json;

use super::arguments::{ActorArgs, TenantArgs};
use crate::failure::Failure;
use crate::output::{Output, print, printed_table};
use crate::wiring;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List dead letters; with --all, every plan that is not live
    List {
        /// Only of this subscription
        #[arg(long)]
        subscription: Option<Subscription>,
        /// Only of this tenant
        #[arg(long, value_parser = Tenant::parse_any)]
        tenant: Option<Tenant>,
        /// Include parked, behind and forked plans
        #[arg(long)]
        all: bool,
        /// Maximum number of plans to print
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Output format
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Print one plan that is not live, with its event and every attempt, as JSON
    Show(PositionArgs),
    /// Try the event again, with all its attempts; the plan then continues in order
    Redrive(DecisionArgs),
    /// Pass over the event without its effect; the plan then continues after it
    Skip(DecisionArgs),
}

/// The position that a subcommand works on.
#[derive(clap::Args)]
pub(crate) struct PositionArgs {
    /// Subscription
    subscription: Subscription,
    /// Plan
    #[arg(value_parser = Plan::parse_any)]
    plan: Plan,
    #[command(flatten)]
    tenant: TenantArgs,
}

#[derive(clap::Args)]
pub(crate) struct DecisionArgs {
    #[command(flatten)]
    position: PositionArgs,
    /// Reason, recorded permanently in the event
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    match command {
        Command::List { subscription, tenant, all, limit, output } => {
            let states = if all { Vec::new() } else { vec![PositionState::Dead] };
            let query = BlockedQuery { subscription, tenant, plan: None, states, limit };
            print_blocked(&wiring::open_ledger(&settings).await?.dead_letters().list(&query).await?, output)?;
        }
        Command::Show(position) => show(&settings, position).await?,
        Command::Redrive(decision) => issue(&settings, decision, OperatorAction::Redrive).await?,
        Command::Skip(decision) => issue(&settings, decision, OperatorAction::Skip).await?,
    }
    Ok(())
}

fn print_blocked(blocked: &[BlockedPosition], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => print(serde_json::Value::Array(blocked.iter().map(to_json).collect())),
        Output::Table => {
            let columns = ["subscription", "tenant", "plan", "seq", "type", "state", "attempts", "waiting", "error"];
            let rows = blocked.iter().map(|position| {
                let waiting_events = position.seen_seq.saturating_sub(position.seq) + 1;
                [
                    position.subscription.clone(),
                    position.tenant.clone(),
                    position.plan.clone(),
                    position.seq.to_string(),
                    position.event_type.clone().unwrap_or_default(),
                    position.state.to_string(),
                    position.attempts.to_string(),
                    waiting_events.to_string(),
                    position.last_error.clone().unwrap_or_default(),
                ]
            });
            print(printed_table(&columns).add_rows(rows))
        }
    }
}

fn to_json(position: &BlockedPosition) -> serde_json::Value {
    json!({
        "subscription": position.subscription, "tenant": position.tenant, "plan": position.plan, "seq": position.seq,
        "type": position.event_type, "seen_seq": position.seen_seq, "state": position.state.to_string(),
        "attempts": position.attempts, "next_at": position.next_at.map(|time| time.to_string()),
        "first_error": position.first_error, "last_error": position.last_error,
    })
}

async fn show(settings: &Settings, position: PositionArgs) -> Result<(), Failure> {
    let PositionArgs { subscription, plan, tenant } = position;
    let tenant = tenant.require(settings)?;
    let detail = wiring::open_ledger(settings).await?.dead_letters().find(&subscription, &tenant, &plan).await?;
    let missing = || Failure::new(format!("subscription {subscription} has no blocked position in {tenant}/{plan}"));
    let detail = detail.ok_or_else(missing)?;
    let attempts = detail.attempts.iter();
    let mut shown = to_json(&detail.position);
    shown["failed"] = attempts.map(|a| json!({"n": a.n, "at": a.at.to_string(), "error": a.error})).collect();
    shown["event"] = detail.record.map(|record| record.to_json()).into();
    print(format_args!("{shown:#}"))
}

/// Appends the decision to the tenant's plan `_deliveries`, and leaves it to the plan's actor in the dispatcher to carry it
/// out (docs/spec/protocol.md#consume-10).
async fn issue(settings: &Settings, decision: DecisionArgs, action: OperatorAction) -> Result<(), Failure> {
    let PositionArgs { subscription, plan, tenant } = decision.position;
    let tenant = tenant.require(settings)?;
    let keyring = wiring::keyring(settings)?;
    let ledger = wiring::open_ledger(settings).await?;
    let request = OperatorRequest { subscription, tenant, plan, actor: decision.actor.actor, reason: decision.reason };
    let issue = async |appender: &Appender| ledger.dead_letters().issue(appender, &request, action).await;
    let seq = wiring::with_appender(&ledger, &keyring, settings, issue).await?;
    print(format_args!(
        "recorded for {}/{}/{seq} of {}; the dispatcher carries it out",
        request.tenant, request.plan, request.subscription
    ))?;
    Ok(())
}
