//! What `dead-letters` and `forks` share: listing and printing plans that do not go on, and recording a decision.

use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_ledger::Ledger;
use sealbus_ledger::append::Appender;
use sealbus_ledger::delivery::command::OperatorAction;
use sealbus_ledger::delivery::dead_letters::{BlockedDetail, BlockedList, BlockedPosition, BlockedQuery};
use sealbus_ledger::delivery::operator::OperatorRequest;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_runtime::settings::Settings;
use serde_json::{Value, json};

use super::arguments::{ActorArgs, TenantArgs};
use crate::failure::Failure;
use crate::output::{Output, print, printable, printed_table};
use crate::wiring;

/// The selection of a list, and its format.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this subscription
    #[arg(long)]
    subscription: Option<Subscription>,
    /// Only of this tenant
    #[arg(long, value_parser = Tenant::parse_any)]
    tenant: Option<Tenant>,
    /// Maximum number of plans to print
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
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

/// A decision about a position.
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

/// Prints the positions in these states. An empty list stands for all states except live.
pub(super) async fn list(settings: &Settings, args: ListArgs, states: Vec<PositionState>) -> Result<(), Failure> {
    let ListArgs { subscription, tenant, limit, output } = args;
    let query = BlockedQuery { subscription, tenant, plan: None, states, limit };
    let BlockedList { positions, unreadable } =
        wiring::open_ledger(settings).await?.dead_letters().list(&query).await?;
    match output {
        Output::Json => print(Value::Array(positions.iter().map(to_json).collect()))?,
        Output::Table => {
            let columns = ["subscription", "tenant", "plan", "seq", "type", "state", "attempts", "waiting", "error"];
            let rows = positions.iter().map(|position| {
                // A position that was never noted to wait for an event waits for none.
                let waiting_events = (position.seen_seq + 1).saturating_sub(position.seq);
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
                .map(|cell| printable(&cell))
            });
            print(printed_table(&columns).add_rows(rows))?;
        }
    }
    if unreadable.is_empty() {
        return Ok(());
    }
    let errors: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    Err(Failure::new(format!("positions that cannot be read are left out: {}", errors.join("; "))))
}

/// A position, with its tenant and plan, and the ledger that it was read from.
pub(super) struct Found {
    pub ledger: Ledger,
    pub tenant: Tenant,
    pub plan: Plan,
    pub detail: BlockedDetail,
}

/// Reads a position.
pub(super) async fn find(settings: &Settings, position: PositionArgs) -> Result<Found, Failure> {
    let PositionArgs { subscription, plan, tenant } = position;
    let tenant = tenant.require(settings)?;
    let ledger = wiring::open_ledger(settings).await?;
    let detail = ledger.dead_letters().find(&subscription, &tenant, &plan).await?;
    let missing = || Failure::new(format!("subscription {subscription} has no blocked position in {tenant}/{plan}"));
    Ok(Found { detail: detail.ok_or_else(missing)?, ledger, tenant, plan })
}

/// Returns a position with its attempts and its event as JSON.
pub(super) fn detail_to_json(detail: BlockedDetail) -> Value {
    let attempts = detail.attempts.iter();
    let mut shown = to_json(&detail.position);
    shown["failed"] = attempts.map(|a| json!({"n": a.n, "at": a.at.to_string(), "error": a.error})).collect();
    shown["event"] = detail.record.map(|record| record.to_json()).into();
    shown
}

fn to_json(position: &BlockedPosition) -> Value {
    let command = position.command.as_ref().map(|command| match command.action {
        OperatorAction::Redrive => "redrive",
        OperatorAction::Skip => "skip",
        OperatorAction::Settle { .. } => "settle",
    });
    json!({
        "subscription": position.subscription, "tenant": position.tenant, "plan": position.plan, "seq": position.seq,
        "type": position.event_type, "seen_seq": position.seen_seq, "state": position.state.to_string(),
        "attempts": position.attempts, "next_at": position.next_at.map(|time| time.to_string()),
        "first_error": position.first_error, "last_error": position.last_error, "command": command,
    })
}

/// Returns the request of a decision.
pub(super) fn request(settings: &Settings, decision: DecisionArgs) -> Result<OperatorRequest, Failure> {
    let PositionArgs { subscription, plan, tenant } = decision.position;
    let tenant = tenant.require(settings)?;
    Ok(OperatorRequest { subscription, tenant, plan, actor: decision.actor.actor, reason: decision.reason })
}

/// Appends the decision to the tenant's plan `_deliveries`, and leaves it to the plan's actor in the dispatcher to carry it
/// out (docs/spec/protocol.md#consume-10).
pub(super) async fn issue(
    ledger: &Ledger,
    settings: &Settings,
    request: &OperatorRequest,
    action: OperatorAction,
) -> Result<(), Failure> {
    let keyring = wiring::keyring(settings)?;
    let issue = async |appender: &Appender| ledger.dead_letters().issue(appender, request, action).await;
    let seq = wiring::with_appender(ledger, &keyring, settings, issue).await?;
    let OperatorRequest { subscription, tenant, plan, .. } = request;
    print(format_args!("recorded for {tenant}/{plan}/{seq} of {subscription}; the dispatcher carries it out"))
}
