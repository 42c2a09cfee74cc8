//! Sealers on a real ledger and a real broker: what they sign is anchored and shown, they refuse to sign what could fork the
//! log, and events get their leaves nevertheless.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod continuity;
mod scene;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_sealer::anchors::Anchor;
use sealbus_testkit::eventually;

use crate::scene::{ORIGIN, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_checkpoint_does_not_wait_for_a_heartbeat() {
    let scene = Scene::initialised().await;
    let anchors = scene.anchors();
    let sealer = scene.start_sealer_with(anchors, |config| config.heartbeat_interval = Duration::from_hours(1));
    scene.shown_size_becomes(1).await;
    for size in 2..5 {
        scene.append("order-1", 1).await;
        scene.shown_size_becomes(size).await;
    }
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_events_are_signed_anchored_and_shown() {
    let scene = Scene::initialised().await;

    // Seal events that were appended before the sealer started, and then more.
    scene.append("order-1", 300).await;
    let sealer = scene.start_sealer();
    scene.shown_size_becomes(301).await;
    scene.append("order-2", 7).await;
    scene.shown_size_becomes(308).await;

    // Append nothing. The same tree is signed again with a later time.
    let shown = scene.ledger().log().shown_checkpoint().await.unwrap();
    eventually("a heartbeat is shown", async || scene.ledger().log().shown_checkpoint().await.unwrap() != shown).await;

    // Every anchor gets the newest checkpoint, and has the first one.
    let tree = scene.ledger().log().newest_tree().await.unwrap();
    let newest = Checkpoint::new(ORIGIN, tree.size, tree.root).unwrap();
    for anchor in scene.anchors() {
        eventually(&format!("{} has the newest checkpoint", anchor.name()), async || {
            scene.anchored(anchor.as_ref()).await.last() == Some(&newest)
        })
        .await;
    }
    sealer.stop().await;
    for anchor in scene.anchors() {
        let anchored = scene.anchored(anchor.as_ref()).await;
        assert_eq!(anchored[0].size(), 0, "{}", anchor.name());
        scene.assert_roots_are_in_the_ledger(&anchored).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_backlog_and_stopped_plans_are_measured() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 3).await;
    let sealer = scene.start_sealer_with(scene.anchors(), |config| {
        config.stopped_plan_retry_interval = Duration::from_millis(50);
    });

    // The ledger's first event and three others. Every checkpoint is renewed by heartbeats.
    for checkpoint in ["stored", "anchored", "shown"] {
        sealer.shows(&format!("sealbus_sealer_checkpoint_size{{checkpoint=\"{checkpoint}\"}}"), "4").await;
    }

    // An event is changed before it is sealed. Its plan is stopped, and the events wait in the queue.
    let change = "CREATE FUNCTION sealbus.change() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.actor := NEW.actor || ''!''; RETURN NEW; END';
        CREATE TRIGGER change BEFORE INSERT ON sealbus.events FOR EACH ROW EXECUTE FUNCTION sealbus.change()";
    scene.bus.postgres.admin(change).await;
    scene.append("order-2", 2).await;
    sealer.shows("sealbus_sealer_stopped_now", "1").await;
    sealer.shows("sealbus_sealer_queued", "2").await;

    // The events are restored, and get their leaves when the plan is tried again.
    scene.tamper("UPDATE sealbus.events SET actor = rtrim(actor, '!')").await;
    sealer.shows("sealbus_sealer_stopped_now", "0").await;
    sealer.shows("sealbus_sealer_queued", "0").await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_roots_of_anchored_checkpoints_are_kept() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 300).await;
    let sealer = scene.start_sealer_with(vec![Arc::new(scene.stream())], |config| {
        config.max_batch_events = 1;
        config.checkpoint_interval = Duration::from_millis(200);
    });
    scene.shown_size_becomes(301).await;
    sealer.stop().await;

    let anchored = scene.anchored(&scene.stream()).await;
    let anchored = Vec::from_iter(anchored.iter().map(Checkpoint::size).collect::<BTreeSet<u64>>());
    let count = i64::try_from(anchored.len()).unwrap();
    let roots = "SELECT count(*) FROM sealbus.log_roots";
    assert_eq!(scene.bus.postgres.count(&format!("{roots} WHERE size = ANY (ARRAY{anchored:?})")).await, count);
    assert_eq!(scene.bus.postgres.count(roots).await, count, "a root that is not anchored was kept");
    assert!(count < 301, "each transaction was anchored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_a_sealer_left_unanchored_is_anchored_by_the_next_one() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 5).await;

    // Seal without anchoring, as if a sealer had been killed in between.
    scene.bus.seal().await;

    let sealer = scene.start_sealer();
    scene.shown_size_becomes(6).await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_continues_while_one_of_two_anchors_is_unreachable() {
    let mut scene = Scene::initialised().await;
    let sealer = scene.start_sealer();
    scene.append("order-1", 1).await;
    scene.shown_size_becomes(2).await;

    // Stop the broker: the checkpoint goes to the file alone.
    scene.bus.nats.kill().await;
    scene.append("order-1", 1).await;
    scene.shown_size_becomes(3).await;

    // Start the broker again: a heartbeat brings the newest checkpoint to the stream.
    scene.bus.nats.restart().await;
    let stream = scene.stream();
    eventually("the stream has the newest checkpoint", async || {
        stream.notes(true).await.is_ok_and(|notes| {
            notes.iter().any(|note| String::from_utf8_lossy(note).starts_with(&format!("{ORIGIN}\n3\n")))
        })
    })
    .await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_hangs_delays_no_checkpoint() {
    let scene = Scene::initialised().await;
    let hanging = scene.watched(0);
    let sealer = scene.start_sealer_with(vec![hanging.clone(), Arc::new(scene.stream())], |_| ());
    for size in 2..=6 {
        scene.append("order-1", 1).await;
        scene.shown_size_becomes(size).await;
    }
    // It gets another checkpoint only when it was given up.
    assert!(hanging.keeps.load(Ordering::Relaxed) < 5, "each checkpoint waited for the anchor");
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sealers_make_one_log() {
    let scene = Scene::initialised().await;
    let sealers = [scene.start_sealer(), scene.start_sealer()];
    for plan in 0..30 {
        scene.append(&format!("order-{plan}"), 10).await;
    }
    scene.shown_size_becomes(301).await;
    for sealer in sealers {
        sealer.stop().await;
    }
    scene.assert_roots_are_in_the_ledger(&scene.anchored(&scene.stream()).await).await;
}
