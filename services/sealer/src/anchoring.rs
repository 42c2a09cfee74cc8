//! The loop that has stored checkpoints cosigned by the witnesses, kept by the anchors, and shown to readers.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_core::log::note::Note;
use sealbus_ledger::log::Signing;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::anchors::AnchorSet;
use crate::roots::UnanchoredRoots;
use crate::shared::{Anchored, Shared, StoredCheckpoint};
use crate::witnesses::Reporter;
use crate::{Config, RETRY_DELAY, Resources};

/// The outcome of anchoring a checkpoint.
enum Outcome {
    /// No anchor accepted the checkpoint, or it could not be shown.
    Failed,
    /// The checkpoint is anchored, but not shown, because it lacks the quorum.
    WithoutQuorum,
    /// The checkpoint is anchored and shown.
    Shown,
}

/// Anchors the newest signed checkpoint, at most once per [`Config::checkpoint_interval`], until `shutdown` is
/// cancelled. Records the largest anchored one in `shared`, unless nothing may be signed, and deletes the stored `roots`
/// before it.
///
/// Without a new checkpoint for [`Config::heartbeat_interval`], the newest tree is signed and anchored again. After a
/// checkpoint without a quorum this happens sooner: after one checkpoint interval, then two, four and so on, up to the
/// heartbeat interval.
pub(crate) async fn anchor_checkpoints(
    config: &Config,
    resources: &Resources,
    shared: &Shared,
    mut roots: UnanchoredRoots,
    shutdown: &CancellationToken,
) {
    let mut signed_changes = shared.signed.subscribe();
    let mut anchored_changes = shared.anchored.subscribe();
    // `None` at the start, so that the first checkpoint is a heartbeat: it covers what an earlier sealer stored but did
    // not anchor.
    let mut last_anchored = None::<Instant>;
    // The heartbeat interval after a checkpoint that lacked its quorum.
    let mut quorum_retry_interval = None::<Duration>;
    let mut reporter = Reporter::default();
    let anchors = AnchorSet::new(&resources.anchors, resources.metrics.clone());
    loop {
        let due = last_anchored.map(|last| last + quorum_retry_interval.unwrap_or(config.heartbeat_interval));
        let has_new = tokio::select! {
            () = shutdown.cancelled() => signed_changes.has_changed().unwrap_or(false),
            changed = signed_changes.changed() => changed.is_ok(),
            () = sleep_until(due.unwrap_or_else(Instant::now)) => false,
        };
        let ending = shutdown.is_cancelled();
        if ending && !has_new {
            return;
        }
        if let (Some(last), false) = (last_anchored, ending) {
            sleep_until((last + config.checkpoint_interval).min(Instant::now() + config.checkpoint_interval)).await;
        }
        if !has_new {
            sign_heartbeat(resources, shared).await;
        }
        // The wait above has marked its change as seen.
        let is_new = has_new || signed_changes.has_changed().unwrap_or(false);
        let next = is_new.then(|| signed_changes.borrow_and_update().clone());
        let Some(next) = next.flatten() else {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(RETRY_DELAY) => {}
                // The anchors were read, so that something may be signed now.
                Ok(()) = anchored_changes.changed() => {}
            }
            continue;
        };
        match anchor(resources, &anchors, &mut reporter, &next).await {
            Outcome::Failed => {
                if !ending {
                    sleep(RETRY_DELAY).await;
                }
                // The next round anchors the newest checkpoint there is by then.
                last_anchored = None;
            }
            outcome @ (Outcome::Shown | Outcome::WithoutQuorum) => {
                last_anchored = Some(Instant::now());
                quorum_retry_interval = matches!(outcome, Outcome::WithoutQuorum).then(|| {
                    let doubled = quorum_retry_interval.map_or(config.checkpoint_interval, |interval| interval * 2);
                    doubled.min(config.heartbeat_interval)
                });
                resources.metrics.checkpoints.inc();
                let anchored_now = Some((next.checkpoint.size(), std::time::Instant::now()));
                *resources.metrics.progress.anchored.lock().unwrap_or_else(PoisonError::into_inner) = anchored_now;
                shared.anchored.send_if_modified(|newest| {
                    let smaller = newest.as_mut().filter(|newest| newest.checkpoint.size() < next.checkpoint.size());
                    smaller.map(|newest| newest.checkpoint.clone_from(&next.checkpoint)).is_some()
                });
                roots.delete_below(next.checkpoint.size(), &resources.ledger).await;
            }
        }
        if ending {
            return;
        }
    }
}

/// Signs the newest stored tree with the current time and sends it to [`Shared::signed`]. Sends nothing if nothing may be signed now,
/// or if it fails, which it logs.
async fn sign_heartbeat(resources: &Resources, shared: &Shared) {
    let Some(Anchored { checkpoint, basis }) = shared.anchored.borrow().clone() else { return };
    let time = resources.clock.unix_seconds();
    let signing = Signing { signer: &resources.signer, anchored: &checkpoint, time };
    match resources.ledger.log().sign_newest(signing, &basis).await {
        // Otherwise this process has sealed more in the meantime, or it is about to read the anchors, perhaps after a failover
        // that lost the tree. It could then miss this checkpoint, which therefore is not used.
        Ok(Some(note)) if shared.anchored.borrow().as_ref().is_some_and(|now| now.basis == basis) => {
            shared.signed.send_replace(Some(StoredCheckpoint::new(note)));
        }
        Ok(Some(_)) => {}
        Ok(None) => shared.basis_changed.store(true, Ordering::Relaxed),
        Err(error) => {
            resources.metrics.failures.inc();
            tracing::error!(error = %error_chain(&error), "cannot sign the newest tree; retrying");
        }
    }
}

/// Has a checkpoint cosigned and gives it to all anchors. It is anchored once one of them has kept it, and shown at once if it
/// also has its quorum.
async fn anchor(
    resources: &Resources,
    anchors: &AnchorSet,
    reporter: &mut Reporter,
    signed: &StoredCheckpoint,
) -> Outcome {
    let size = signed.checkpoint.size();
    let (note, has_quorum) = match &resources.witnesses {
        Some(witnesses) => {
            let cosigned = witnesses.cosign(&resources.ledger, signed).await;
            reporter.report(witnesses, &cosigned, size, &resources.metrics);
            (cosigned.note, cosigned.has_quorum)
        }
        None => (signed.note.clone(), true),
    };
    let mut given = anchors.keep(size, &note);
    if !given.is_kept().await {
        return Outcome::Failed;
    }
    let outcome = if has_quorum { show(resources, size, &note).await } else { Outcome::WithoutQuorum };
    given.wait_for_others().await;
    outcome
}

/// Shows an anchored checkpoint of this size to readers.
async fn show(resources: &Resources, size: u64, note: &Note) -> Outcome {
    match resources.ledger.log().show_checkpoint(size, note).await {
        Ok(()) => Outcome::Shown,
        Err(error) => {
            resources.metrics.failures.inc();
            tracing::warn!(size, error = %error_chain(&error), "cannot show an anchored checkpoint to readers; retrying");
            Outcome::Failed
        }
    }
}
