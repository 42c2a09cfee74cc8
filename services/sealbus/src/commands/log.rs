//! `sealbus log init`: begins the log, which no sealer does by itself.

use std::process::ExitCode;

use sealbus_core::clock::Clock as _;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_core::log::note::Note;
use sealbus_ledger::log::Signing;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::Settings;
use sealbus_sealer::anchors;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::wiring;

/// What to do with the log.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make the log's first checkpoint, and anchor it; once for a new ledger
    Init {
        /// Anchor the newest checkpoint anew, after the anchors were exchanged on purpose
        #[arg(long)]
        again: bool,
    },
}

/// Runs it.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Command::Init { again } = args.command;
    let settings = Settings::from_environment()?;
    println!("{}", begin(&settings, again).await?);
    Ok(ExitCode::SUCCESS)
}

/// Begins the log where that was not done yet, and says what was done.
pub(crate) async fn begin(settings: &Settings, again: bool) -> Result<String, Failure> {
    let shutdown = CancellationToken::new();
    let ledger = wiring::ledger(settings, &shutdown).await?;
    let broker = wiring::broker(settings, "sealbus-log", &shutdown).await?;
    broker.ensure_topology(&wiring::topology(settings)).await?;
    let signer = wiring::log_signer(settings, &ledger)?;
    let witnesses = wiring::witnesses(settings, &signer)?;
    let anchors = wiring::anchors(settings, &broker);
    let origin = ledger.deployment().origin.clone();

    let held = anchors::newest(&anchors, &origin, &signer.verifier_key()).await;
    if !held.unreadable.is_empty() {
        return Err(Failure::new(format!("an anchor cannot be read: {}", held.unreadable.join("; "))));
    }
    let known = held.newest.as_ref().map_or(0, Checkpoint::size);
    let begun = ledger.log().first_checkpoint().await?.is_some();
    let size = ledger.log().newest_tree().await?.size;
    if !begun && known > 0 {
        return Err(Failure::new(format!(
            "the anchors hold a checkpoint of {known} leaves of {origin}, and this database never began a log: \
             it is not the database that this log belongs to"
        )));
    }
    if begun && held.newest.is_some() {
        return Ok(format!("the log of {origin} was begun before; {size} leaves, {known} of them anchored"));
    }
    if begun && size > 0 && !again {
        return Err(Failure::new(
            "the log was begun, and the anchors hold nothing of it: if they were exchanged on purpose, add --again",
        ));
    }
    let now = SystemClock.unix_seconds();
    let (first, _) = ledger.log().begin(&signer, now).await?;
    let note = if again { sign_newest(&ledger, &signer, now).await? } else { first };
    for anchor in &anchors {
        let kept = anchor.keep(&note).await;
        kept.map_err(|error| Failure::new(format!("{} did not take the checkpoint: {error}", anchor.name())))?;
    }
    let size = note.text().parse::<Checkpoint>().map_or(0, |checkpoint| checkpoint.size());
    // What readers are shown has the policy's quorum; a sealer asks the witnesses as soon as it runs.
    if witnesses.is_none_or(|witnesses| witnesses.suffice(&note, &origin)) {
        ledger.log().show_checkpoint(size, &note).await?;
    }
    broker.close().await;
    ledger.close().await;
    Ok(format!("the log of {origin} is anchored from size {size} on; pin its key: {}", signer.verifier_key()))
}

async fn sign_newest(
    ledger: &sealbus_ledger::Ledger,
    signer: &sealbus_core::log::note::LogSigner,
    time: u64,
) -> Result<Note, Failure> {
    let origin = &ledger.deployment().origin;
    let empty = Checkpoint::new(origin, 0, empty_root()).map_err(|error| Failure::new(error.to_string()))?;
    Ok(ledger.log().sign_newest(Signing { signer, anchored: &empty, time }).await?)
}
