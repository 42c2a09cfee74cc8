//! `sealbus failover`: shows whether the database has a confirmed history, and confirms it after a failover or a restore.

use clap::Subcommand;
use sealbus_ledger::append::Appender;
use sealbus_ledger::server_history::ServerHistory;
use sealbus_runtime::settings::Settings;
use serde_json::json;

use super::arguments::ActorArgs;
use crate::failure::Failure;
use crate::output::{Output, print, printed_table};
use crate::wiring;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the history of the database server and those that were confirmed
    Show {
        /// Output format
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Allow appends again after a failover or a restore: confirm that the database lacks no acknowledged event
    Confirm(ConfirmArgs),
}

#[derive(clap::Args)]
pub(crate) struct ConfirmArgs {
    /// Reason, recorded permanently in the event
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let ledger = wiring::open_ledger(&settings).await?;
    match command {
        Command::Show { output } => {
            let histories = ledger.server_history();
            print_histories(histories.current().await?.as_ref(), &histories.confirmed().await?, output)?;
        }
        Command::Confirm(ConfirmArgs { reason, actor }) => {
            let keyring = wiring::keyring(&settings)?;
            let confirm =
                async |appender: &Appender| ledger.server_history().confirm(appender, &actor.actor, &reason).await;
            let confirmed = wiring::with_appender(&ledger, &keyring, &settings, confirm).await?;
            print(format_args!("{confirmed} is confirmed; appends are allowed"))?;
        }
    }
    Ok(())
}

fn print_histories(
    current: Option<&ServerHistory>,
    confirmed: &[ServerHistory],
    output: Output,
) -> Result<(), Failure> {
    let is_confirmed = current.is_some_and(|current| confirmed.contains(current));
    match output {
        Output::Json => {
            let history = |history: &ServerHistory| json!({ "system_identifier": history.system_identifier, "timeline": history.timeline });
            print(json!({
                "current": current.map(history),
                "confirmed": confirmed.iter().map(history).collect::<Vec<_>>(),
                "appends_allowed": is_confirmed,
            }))
        }
        Output::Table => {
            let row = |history: &ServerHistory, state: &str| {
                [history.system_identifier.clone(), history.timeline.clone(), state.to_owned()]
            };
            let mut rows: Vec<_> = confirmed
                .iter()
                .map(|history| row(history, if current == Some(history) { "current, confirmed" } else { "confirmed" }))
                .collect();
            if let Some(current) = current.filter(|_| !is_confirmed) {
                rows.push(row(current, "current, NOT CONFIRMED: appends are refused"));
            }
            print(printed_table(&["system identifier", "timeline", "state"]).add_rows(rows))
        }
    }
}
