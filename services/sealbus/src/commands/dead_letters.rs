//! `sealbus dead-letters`: lists what could not be delivered, and records an operator's redrive or skip.

use clap::Subcommand;
use sealbus_ledger::delivery::command::OperatorAction;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_runtime::settings::Settings;

use super::blocked::{DecisionArgs, ListArgs, PositionArgs, detail_to_json, find, issue, list, request};
use crate::failure::Failure;
use crate::output::print;
use crate::wiring;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the plans that wait for an operator: dead letters and forks; with --all, every plan that is not live
    List {
        #[command(flatten)]
        list: ListArgs,
        /// Include parked and behind plans, which go on by themselves
        #[arg(long)]
        all: bool,
    },
    /// Print one plan that is not live, with its event and every attempt, as JSON
    Show(PositionArgs),
    /// Try the event again, with all its attempts; the plan then continues in order
    Redrive(DecisionArgs),
    /// Pass over the event without its effect; the plan then continues after it
    Skip(DecisionArgs),
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    match command {
        Command::List { list: args, all } => {
            let states = if all { Vec::new() } else { vec![PositionState::Dead, PositionState::Fork] };
            list(&settings, args, states).await
        }
        Command::Show(position) => print(format_args!("{:#}", detail_to_json(find(&settings, position).await?.detail))),
        Command::Redrive(decision) => decide(&settings, decision, OperatorAction::Redrive).await,
        Command::Skip(decision) => decide(&settings, decision, OperatorAction::Skip).await,
    }
}

async fn decide(settings: &Settings, decision: DecisionArgs, action: OperatorAction) -> Result<(), Failure> {
    let request = request(settings, decision)?;
    issue(&wiring::open_ledger(settings).await?, settings, &request, action).await
}
