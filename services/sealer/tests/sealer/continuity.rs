//! What is not signed, and whether events get their leaves nevertheless.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_sealer::anchors::Anchor;
use sealbus_testkit::{Postgres, TestBus};

use crate::scene::{ORIGIN, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn events_get_their_leaves_before_the_log_is_initialised_and_are_signed_after() {
    let scene = Scene::start().await;
    let sealer = scene.start_sealer();
    sealer.refuses("not_initialised").await;
    scene.append("order-1", 3).await;
    scene.log_size_becomes(4).await;
    assert_eq!(scene.ledger().log().newest_note().await.unwrap(), None, "a tree was signed");

    scene.initialise().await;
    scene.shown_size_becomes(4).await;
    assert!(!sealer.metrics.refuses("not_initialised"));
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_get_their_leaves_beside_emptied_anchors_and_are_signed_once_these_are_restored() {
    let scene = Scene::start().await;
    let (first, _) = scene.ledger().log().begin(&scene.signer, 1_000).await.unwrap();
    let sealer = scene.start_sealer();
    sealer.refuses("not_anchored").await;
    scene.append("order-1", 3).await;
    scene.log_size_becomes(4).await;
    scene.append("order-2", 3).await;
    scene.log_size_becomes(7).await;
    assert_eq!(scene.ledger().log().newest_note().await.unwrap(), Some(first.to_string()), "a tree was signed");

    scene.anchor(&first).await;
    scene.shown_size_becomes(7).await;
    sealer.stop().await;
    scene.assert_roots_are_in_the_ledger(&scene.anchored(&scene.stream()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealer_that_knows_an_older_checkpoint_signs_nothing_after_a_failover_that_lost_leaves() {
    let postgres = Postgres::own_cluster().await;
    let mut scene = Scene::on(TestBus::on(postgres, ORIGIN).await).await;
    scene.initialise().await;
    let file = scene.watched(u64::MAX);
    let sealer = scene.start_sealer_with(vec![file.clone(), Arc::new(scene.stream())], |_| ());
    scene.append("order-1", 10).await;
    scene.shown_size_becomes(11).await;

    // Another sealer has anchored a larger tree, whose leaves the promoted server lacks.
    scene.bus.ledger.postgres.kill().await;
    let lost = Checkpoint::new(ORIGIN, 21, Hash::of(b"the tree that was lost")).unwrap();
    scene.anchor(&scene.signer.sign(&lost, 2_000).unwrap()).await;
    scene.bus.ledger.postgres.restart().await;
    scene.append("order-1", 1).await;
    sealer.refuses("rolled_back").await;

    // The event waits while the sealer reads the anchors again and decides once more.
    let reads = *file.reads.borrow();
    file.reads.subscribe().wait_for(|now| *now >= reads + 2).await.unwrap();
    sealer.stop().await;

    // Nothing was signed beside what was lost, and no leaf took the place of a lost one.
    assert_eq!(scene.ledger().log().size().await.unwrap(), 11);
    for anchor in scene.anchors() {
        let sizes: Vec<u64> = scene.anchored(anchor.as_ref()).await.iter().map(Checkpoint::size).collect();
        assert!(sizes.iter().all(|size| *size <= 11 || *size == 21), "{sizes:?}");
        assert_eq!(sizes.last(), Some(&21), "{}", anchor.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_checkpoint_that_is_being_anchored_counts_when_its_leaves_are_lost() {
    let scene = Scene::initialised().await;
    let anchor = scene.watched(1);
    let sealer = scene.start_sealer_with(vec![anchor.clone()], |_| ());
    scene.shown_size_becomes(1).await;
    scene.save_log().await;
    scene.append("order-1", 2).await;
    anchor.given.subscribe().wait_for(|size| *size == 3).await.unwrap();

    // The anchor is not readable either. The database is as it was before these leaves, and an event waits.
    anchor.unreadable.store(true, Ordering::Relaxed);
    scene.put_log_back().await;
    scene.append("order-2", 1).await;
    scene.refused_without_new_leaves(sealer, "rolled_back", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_heartbeat_counts_when_the_anchors_hold_another_tree_of_its_size() {
    // Two histories of three leaves. The database is put back to the second one later.
    let scene = Scene::initialised().await;
    scene.append("order-1", 2).await;
    scene.bus.seal().await;
    let other = scene.ledger().log().newest_tree().await.unwrap();
    scene.save_log().await;
    scene.change_leaves("UPDATE sealbus.log_leaves SET leaf_hash = sha256('first history') WHERE leaf_index = 2").await;

    // The sealer signs a heartbeat of the first history, and the anchor hangs while it keeps that.
    let anchor = scene.watched(0);
    let sealer = scene.start_sealer_with(vec![anchor.clone()], |_| ());
    anchor.given.subscribe().wait_for(|size| *size == 3).await.unwrap();

    // Another sealer anchors the second history, and this one gets its database.
    let other = Checkpoint::new(ORIGIN, other.size, other.root).unwrap();
    anchor.file.keep(&scene.signer.sign(&other, 2_000).unwrap()).await.unwrap();
    scene.put_log_back().await;
    scene.append("order-2", 1).await;
    scene.refused_without_new_leaves(sealer, "root_mismatch", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_lets_an_idle_sealer_notice_that_the_database_was_rolled_back() {
    let scene = Scene::initialised().await;
    let sealer = scene.start_sealer_with(scene.anchors(), |config| {
        config.stopped_plan_retry_interval = Duration::from_hours(1);
    });
    scene.shown_size_becomes(1).await;
    scene.save_log().await;
    scene.append("order-1", 2).await;
    scene.shown_size_becomes(3).await;

    // Nothing is queued from here on.
    scene.put_log_back().await;
    sealer.refuses("rolled_back").await;
    sealer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_rolled_back_is_not_signed() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 20).await;
    let sealer = scene.start_sealer();
    scene.shown_size_becomes(21).await;
    sealer.stop().await;

    // Leave the database as after a restore of an older backup: it has fewer leaves, and the correct tree of them.
    scene.change_leaves("TRUNCATE sealbus.checkpoints; DELETE FROM sealbus.log_leaves WHERE leaf_index >= 10").await;

    // An event is in the seal queue before the sealer starts.
    scene.append("order-2", 1).await;
    scene.refused_without_new_leaves(scene.start_sealer(), "rolled_back", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_of_the_same_length_is_not_signed() {
    let scene = Scene::initialised().await;
    scene.append("order-1", 20).await;
    let sealer = scene.start_sealer();
    scene.shown_size_becomes(21).await;
    sealer.stop().await;

    // Replace a leaf, and let the tree be built again.
    scene.change_leaves("UPDATE sealbus.log_leaves SET leaf_hash = sha256('forged') WHERE leaf_index = 7").await;
    scene.refused_without_new_leaves(scene.start_sealer(), "root_mismatch", 21).await;
}
