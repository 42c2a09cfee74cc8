//! From a stored note to one that the world has seen: cosigned by the witnesses, kept by the anchors, then shown to readers.

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_ledger::log::Signing;
use sealbus_ledger::{Ledger, LedgerError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::stored::Stored;
use crate::witnesses::Reports;
use crate::{Config, Resources};

/// What became of a note.
enum Outcome {
    /// No anchor took it, or it could not be shown.
    Failed,
    /// It is anchored, and lacks the quorum to be shown.
    WithoutQuorum,
    /// It is anchored and shown.
    Shown,
}

/// Anchors the newest stored note, no more often than [`Config::checkpoint`] says, and a heartbeat where there was no news
/// for as long as [`Config::heartbeat`]. One that lacks the quorum is followed by a heartbeat earlier than that: after as long as
/// [`Config::checkpoint`], then twice as long, and so on. `anchored` tells the sealing loop what is kept by now.
pub(crate) async fn anchor(
    config: Config,
    resources: Arc<Resources>,
    mut stored: watch::Receiver<Option<Stored>>,
    anchored: watch::Sender<Checkpoint>,
    shutdown: CancellationToken,
) {
    let mut last = None::<Instant>;
    // How long until a heartbeat, where the last note lacked its quorum.
    let (mut reports, mut again) = (Reports::default(), None::<Duration>);
    loop {
        // The first thing is a heartbeat: what is stored and was not anchored, since a sealer died between the two, is
        // signed anew and anchored now.
        let due = last.map(|last| last + again.unwrap_or(config.heartbeat));
        let news = tokio::select! {
            () = shutdown.cancelled() => stored.has_changed().unwrap_or(false),
            changed = stored.changed() => changed.is_ok(),
            () = sleep_until(due.unwrap_or_else(Instant::now)) => false,
        };
        let ending = shutdown.is_cancelled();
        if ending && !news {
            return;
        }
        if let (Some(last), false) = (last, ending) {
            sleep_until((last + config.checkpoint).min(Instant::now() + config.checkpoint)).await;
        }
        let next = if news { stored.borrow_and_update().clone() } else { heartbeat(&resources, &anchored).await };
        let Some(next) = next else {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(config.backoff) => {}
            }
            continue;
        };
        let outcome = keep(&resources, &mut reports, &next).await;
        if let Outcome::Failed = outcome {
            if !ending {
                sleep(config.backoff.min(Duration::from_secs(1))).await;
            }
            // Tried again with what is newest by then.
            last = None;
        } else {
            last = Some(Instant::now());
            again = match outcome {
                Outcome::WithoutQuorum => {
                    Some(again.map_or(config.checkpoint, |again| again * 2).min(config.heartbeat))
                }
                Outcome::Shown | Outcome::Failed => None,
            };
            resources.metrics.checkpoints.inc();
            anchored.send_if_modified(|newest| {
                let larger = newest.size() < next.checkpoint.size();
                if larger {
                    newest.clone_from(&next.checkpoint);
                }
                larger
            });
        }
        if ending {
            return;
        }
    }
}

/// The newest stored tree, signed with the time that it is now.
async fn heartbeat(resources: &Resources, anchored: &watch::Sender<Checkpoint>) -> Option<Stored> {
    let known = anchored.borrow().clone();
    let signing = Signing { signer: &resources.signer, anchored: &known, time: resources.clock.unix_seconds() };
    match signed(&resources.ledger, signing).await {
        Ok(stored) => Some(stored),
        Err(error) => {
            resources.metrics.failures.inc();
            tracing::error!(error = &error as &dyn std::error::Error, "the newest tree could not be signed");
            None
        }
    }
}

async fn signed(ledger: &Ledger, signing: Signing<'_>) -> Result<Stored, LedgerError> {
    let note = ledger.log().sign_newest(signing).await?;
    let checkpoint =
        note.text().parse().map_err(|error| LedgerError::Log(format!("a signed text is no checkpoint: {error}")))?;
    Ok(Stored { checkpoint, note })
}

/// Has a note cosigned and gives it to all anchors; it counts once one of them has it. It is shown then, if it has its quorum.
async fn keep(resources: &Resources, reports: &mut Reports, stored: &Stored) -> Outcome {
    let size = stored.checkpoint.size();
    let (note, reached) = match &resources.witnesses {
        Some(witnesses) => {
            let cosigned = witnesses.cosign(&resources.ledger, stored).await;
            reports.report(witnesses, &cosigned, size, &resources.metrics);
            (cosigned.note, cosigned.reached)
        }
        None => (stored.note.clone(), true),
    };
    let mut kept = 0;
    for anchor in &resources.anchors {
        match anchor.keep(&note).await {
            Ok(()) => kept += 1,
            Err(error) => {
                resources.metrics.unanchored.inc();
                tracing::warn!(anchor = anchor.name(), %error, "an anchor did not take a checkpoint; the next one is given to it too");
            }
        }
    }
    if kept == 0 {
        return Outcome::Failed;
    }
    if !reached {
        return Outcome::WithoutQuorum;
    }
    match resources.ledger.log().show_checkpoint(size, &note).await {
        Ok(()) => Outcome::Shown,
        Err(error) => {
            resources.metrics.failures.inc();
            tracing::warn!(error = &error as &dyn std::error::Error, "an anchored checkpoint could not be shown yet");
            Outcome::Failed
        }
    }
}
