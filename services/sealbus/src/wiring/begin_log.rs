//! Initialising the log of a new ledger.

use sealbus_core::clock::Clock as _;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::empty_root;
use sealbus_ledger::ConnectionSettings;
use sealbus_ledger::log::Signing;
use sealbus_runtime::clock::SystemClock;
use sealbus_runtime::settings::Settings;
use sealbus_sealer::anchors;
use tokio_util::sync::CancellationToken;

use super::{connections, log_signer, topology, wait_for_broker, wait_for_ledger, witnesses};
use crate::failure::{Context as _, Failure};

/// Signs the log's first checkpoint and anchors it. Does nothing if the log is initialised and an anchor holds a
/// checkpoint of it. Returns what was done, as text for a person.
///
/// If `again` is set, signs and anchors the newest tree. This is for anchors that were replaced on purpose.
///
/// # Errors
/// An anchor cannot be read or written; the anchors hold a log that this database never began; or, without `again`, they
/// hold nothing of a log that has leaves.
pub(crate) async fn begin_log(settings: &Settings, again: bool) -> Result<String, Failure> {
    let shutdown = CancellationToken::new();
    let connections = connections(settings, ConnectionSettings::command);
    let ledger = wait_for_ledger(settings, &connections, &shutdown).await?;
    let broker = wait_for_broker(settings, "sealbus-log", &shutdown).await?;
    broker.ensure_topology(&topology(settings)).await?;
    let signer = log_signer(settings, &ledger)?;
    let witnesses = witnesses(settings, &signer)?;
    let anchors = super::anchors(settings, &broker);
    let origin = ledger.deployment().origin.clone();

    let basis = ledger.log().basis().await?;
    let stored = anchors::newest(&anchors, &origin, &signer.verifier_key()).await;
    if !stored.unreadable.is_empty() {
        return Err(Failure::new(format!("an anchor cannot be read: {}", stored.unreadable.join("; "))));
    }
    let anchored = stored.newest.as_ref().map_or(0, Checkpoint::size);
    let begun = ledger.log().first_checkpoint().await?.is_some();
    let size = ledger.log().newest_tree().await?.size;
    if !begun && anchored > 0 {
        return Err(Failure::new(format!(
            "the anchors hold a checkpoint of {anchored} leaves of {origin}, but this database has never initialised a \
             log: it is not the database that this log belongs to"
        )));
    }
    if begun && stored.newest.is_some() {
        return Ok(format!("the log of {origin} is already initialised: {size} leaves, {anchored} of them anchored"));
    }
    if begun && size > 0 && !again {
        return Err(Failure::new(
            "the log is initialised, but the anchors hold no checkpoint of it: if they were replaced on purpose, add --again",
        ));
    }
    let now = SystemClock.unix_seconds();
    let (first, _) = ledger.log().begin(&signer, now).await?;
    let note = if again {
        let empty = Checkpoint::new(&origin, 0, empty_root())?;
        let newest = ledger.log().sign_newest(Signing { signer: &signer, anchored: &empty, time: now }, &basis).await?;
        newest.ok_or_else(|| {
            Failure::new("a sealer has added to the log meanwhile; stop the sealers and run the command again")
        })?
    } else {
        first
    };
    for anchor in &anchors {
        anchor.keep(&note).await.context(format_args!("cannot write the checkpoint to {}", anchor.name()))?;
    }
    let size = note.text().parse::<Checkpoint>()?.size();
    // Readers are shown only checkpoints with the policy's quorum; a sealer asks the witnesses as soon as it runs.
    if witnesses.is_none_or(|witnesses| witnesses.suffice(&note, &origin)) {
        ledger.log().show_checkpoint(size, &note).await?;
    }
    broker.close().await;
    ledger.close().await;
    Ok(format!("the log of {origin} is anchored from size {size} on; pin its key: {}", signer.verifier_key()))
}
