//! `sealbus dead-letters`: what could not be delivered, and what an operator does about it.

use std::process::ExitCode;

use clap::Subcommand;
use sealbus_core::names::{Plan, Subscription, Tenant};
use sealbus_ledger::append::Appender;
use sealbus_ledger::delivery::dead_letters::{BlockedPosition, BlockedQuery, OperatorAction, OperatorRequest};
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_runtime::settings::Settings;
use serde_json::json;

use super::names;
use crate::failure::Failure;
use crate::output::{Output, table as printed_table};
use crate::wiring;

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List dead letters, and with --all every plan that waits
    List {
        /// Of this subscription only
        #[arg(long)]
        subscription: Option<Subscription>,
        /// Of this tenant only
        #[arg(long, value_parser = Tenant::parse_any)]
        tenant: Option<Tenant>,
        /// Parked, behind and forked plans too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show one: its event, and every attempt
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Try the event again, with all its attempts; the plan goes on in order behind it
    Redrive {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        why: Why,
    },
    /// Pass over the event without its effect; the plan goes on behind it
    Skip {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        why: Why,
    },
}

/// Which position.
#[derive(clap::Args)]
struct Which {
    /// The subscription
    subscription: Subscription,
    /// The plan
    #[arg(value_parser = Plan::parse_any)]
    plan: Plan,
    /// The plan's tenant; otherwise SEALBUS_TENANT
    #[arg(long, value_parser = Tenant::parse_any)]
    tenant: Option<Tenant>,
}

/// What is kept of the decision, for ever.
#[derive(clap::Args)]
struct Why {
    /// Why, in your words
    #[arg(long)]
    reason: String,
    /// Who you are; otherwise the user of this shell
    #[arg(long)]
    actor: Option<String>,
}

/// Lists, shows, redrives or skips.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let settings = Settings::from_environment()?;
    match args.what {
        What::List { subscription, tenant, all, limit, output } => {
            let states = if all { Vec::new() } else { vec![PositionState::Dead] };
            let query = BlockedQuery { subscription, tenant, states, limit };
            list(&wiring::open_ledger(&settings).await?.dead_letters().list(&query).await?, output);
        }
        What::Show { which } => show(&settings, which).await?,
        What::Redrive { which, why } => ask(&settings, which, why, OperatorAction::Redrive).await?,
        What::Skip { which, why } => ask(&settings, which, why, OperatorAction::Skip).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan's tenant, which has to be named somewhere.
fn tenant(given: Option<Tenant>, settings: &Settings) -> Result<Tenant, Failure> {
    let tenant = names::tenant(given, settings)?;
    tenant.ok_or_else(|| Failure::usage("whose plan? give --tenant or set SEALBUS_TENANT"))
}

fn list(owed: &[BlockedPosition], output: Output) {
    match output {
        Output::Json => println!("{}", serde_json::Value::Array(owed.iter().map(to_json).collect())),
        Output::Table => {
            let mut printed = printed_table(&[
                "subscription",
                "tenant",
                "plan",
                "seq",
                "type",
                "state",
                "attempts",
                "waiting",
                "error",
            ]);
            for owed in owed {
                let waiting = owed.seen_seq.saturating_sub(owed.seq) + 1;
                printed.add_row([
                    owed.subscription.clone(),
                    owed.tenant.clone(),
                    owed.plan.clone(),
                    owed.seq.to_string(),
                    owed.event_type.clone().unwrap_or_default(),
                    owed.state.to_string(),
                    owed.attempts.to_string(),
                    waiting.to_string(),
                    owed.last_error.clone().unwrap_or_default(),
                ]);
            }
            println!("{printed}");
        }
    }
}

fn to_json(owed: &BlockedPosition) -> serde_json::Value {
    json!({
        "subscription": owed.subscription, "tenant": owed.tenant, "plan": owed.plan, "seq": owed.seq, "type": owed.event_type,
        "seen_seq": owed.seen_seq, "state": owed.state.to_string(), "attempts": owed.attempts,
        "next_at": owed.next_at.map(|at| at.to_string()), "first_error": owed.first_error, "last_error": owed.last_error,
    })
}

async fn show(settings: &Settings, which: Which) -> Result<(), Failure> {
    let Which { subscription, plan, tenant: given } = which;
    let tenant = tenant(given, settings)?;
    let detail = wiring::open_ledger(settings).await?.dead_letters().find(&subscription, &tenant, &plan).await?;
    let detail = detail.ok_or_else(|| Failure::new(format!("nothing of {tenant}/{plan} waits for {subscription}")))?;
    let attempts: Vec<_> = detail
        .attempts
        .iter()
        .map(|attempt| json!({"n": attempt.n, "at": attempt.at.to_string(), "error": attempt.error}))
        .collect();
    let mut shown = to_json(&detail.position);
    shown["failed"] = attempts.into();
    shown["event"] = detail.record.map_or(serde_json::Value::Null, |record| record.to_json());
    println!("{shown:#}");
    Ok(())
}

/// Appends what was decided to the tenant's plan of decisions and leaves it to the plan's actor to carry out.
async fn ask(settings: &Settings, which: Which, why: Why, verb: OperatorAction) -> Result<(), Failure> {
    let Which { subscription, plan, tenant: given } = which;
    let tenant = tenant(given, settings)?;
    let keyring = wiring::keyring(settings)?;
    let ledger = wiring::open_ledger(settings).await?;
    let order = OperatorRequest { subscription, tenant, plan, actor: names::actor(why.actor), reason: why.reason };
    let ask = async |appender: &Appender| ledger.dead_letters().issue(appender, &order, verb).await;
    let seq = wiring::with_appender(&ledger, &keyring, settings, ask).await?;
    println!(
        "asked for: {}/{}/{seq} on {}; the dispatcher carries it out",
        order.tenant, order.plan, order.subscription
    );
    Ok(())
}
