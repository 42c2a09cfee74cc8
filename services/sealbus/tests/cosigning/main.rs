//! A sealer with witnesses, over real sockets. A checkpoint with a quorum is shown, and one without is anchored but not shown. A
//! dead, slow or lying witness does not delay the others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scene;
mod witnesses;

use std::sync::Arc;
use std::time::Duration;

use sealbus_core::log::note::Note;
use sealbus_runtime::clock::SystemClock;
use sealbus_sealer::{Witnesses, WitnessesError};
use sealbus_testkit::eventually;

use crate::scene::{Scene, logged};
use crate::witnesses::{TestWitness, lying_witness, silent_port, unused_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_shown_with_its_quorum_and_a_heartbeat_renews_it() {
    let scene = Scene::start(1).await;
    let (one, two) = (TestWitness::new(&scene, "q-one", 1), TestWitness::new(&scene, "q-two", 2));
    let (_one, _two) = (one.serve(0).await, two.serve(0).await);
    let policy = scene.policy(&[one.line(), two.line()], "group both all q-one q-two\nquorum both");
    let sealing = scene.seal(&policy);
    scene.append("order-1", 300).await;
    eventually("the checkpoint over all events", async || scene.shown_size().await == 301).await;
    let shown = scene.shown().await;
    assert_eq!(scene.cosigners(&policy, &shown), ["q-one", "q-two"]);
    assert_eq!(
        scene.cosigners(&policy, &scene.anchored().await),
        ["q-one", "q-two"],
        "the anchored note lacks a cosignature"
    );
    let time = |note: &Note| scene.times(&policy, note);
    eventually("later times of both witnesses", async || {
        let newer = time(&scene.shown().await);
        newer.len() == 2 && newer.iter().zip(time(&shown)).all(|(newer, older)| *newer > older)
    })
    .await;
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_witnesses_suffices_while_the_other_is_unreachable() {
    let scene = Scene::start(2).await;
    let (one, two) = (TestWitness::new(&scene, "d-one", 3), TestWitness::new(&scene, "d-two", 4));
    let _one = one.serve(0).await;
    two.port.set(unused_port().await);
    let policy = scene.policy(&[one.line(), two.line()], "group either any d-one d-two\nquorum either");
    let sealing = scene.seal(&policy);
    scene.append("order-1", 10).await;
    eventually("a checkpoint", async || scene.shown_size().await == 11).await;
    assert_eq!(scene.cosigners(&policy, &scene.shown().await), ["d-one"]);
    eventually("the missing witness is logged", async || logged(&["lacks witnesses", "d-two: no answer"])).await;
    let metrics = sealing.metrics();
    assert!(metrics.contains(r#"witness_answers_total{witness="d-two",outcome="unreachable"}"#), "{metrics}");
    assert!(metrics.contains("without_quorum_total 0"), "{metrics}");
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_without_its_quorum_is_anchored_and_shown_once_the_witness_is_back() {
    let scene = Scene::start(3).await;
    let (one, two) = (TestWitness::new(&scene, "b-one", 5), TestWitness::new(&scene, "b-two", 6));
    let _one = one.serve(0).await;
    let serving = two.serve(0).await;
    let policy = scene.policy(&[one.line(), two.line()], "group both all b-one b-two\nquorum both");
    let sealing = scene.seal(&policy);
    scene.append("order-1", 1).await;
    eventually("a checkpoint", async || scene.shown_size().await == 2).await;
    serving.stop().await;
    scene.append("order-1", 400).await;
    eventually("the checkpoint is anchored", async || Scene::size(&scene.anchored().await) == 402).await;
    assert_eq!(scene.shown_size().await, 2, "a checkpoint without quorum is shown");
    assert_eq!(
        scene.cosigners(&policy, &scene.anchored().await),
        ["b-one"],
        "the anchored note lacks the cosignature of the live witness"
    );
    eventually("the missing witness is logged", async || logged(&["too few witnesses", "b-two: no answer"])).await;
    assert!(!sealing.metrics().contains("without_quorum_total 0"), "{}", sealing.metrics());
    let port = two.port.get();
    let _serving = two.serve(port).await;
    eventually("the restarted witness has caught up", async || scene.shown_size().await == 402).await;
    assert_eq!(scene.cosigners(&policy, &scene.shown().await), ["b-one", "b-two"]);
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_and_a_silent_witness_do_not_delay_the_checkpoint() {
    let scene = Scene::start(4).await;
    let one = TestWitness::new(&scene, "l-one", 7);
    let _one = one.serve(0).await;
    let (liar, mute) = (TestWitness::new(&scene, "l-liar", 8), TestWitness::new(&scene, "l-mute", 9));
    liar.port.set(lying_witness(&liar).await);
    let (port, _listener) = silent_port().await;
    mute.port.set(port);
    let policy = scene.policy(&[one.line(), liar.line(), mute.line()], "quorum l-one");
    let sealing = scene.seal(&policy);
    for (count, size) in [(3, 4), (4, 8), (5, 13)] {
        scene.append("order-1", count).await;
        eventually("the next checkpoint", async || scene.shown_size().await == size).await;
        assert_eq!(scene.cosigners(&policy, &scene.shown().await), ["l-one"], "a false cosignature was kept");
    }
    eventually("the false cosignature is logged", async || {
        logged(&["l-liar: the witness's response contains no cosignature"])
    })
    .await;
    let metrics = sealing.metrics();
    assert!(metrics.contains(r#"witness_answers_total{witness="l-liar",outcome="invalid"}"#), "{metrics}");
    assert!(metrics.contains(r#"witness_answers_total{witness="l-mute",outcome="late"}"#), "{metrics}");
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_added_later_cosigns_too() {
    let scene = Scene::start(5).await;
    let old = TestWitness::new(&scene, "n-old", 10);
    let _old = old.serve(0).await;
    let policy = scene.policy(&[old.line()], "quorum n-old");
    let sealing = scene.seal(&policy);
    scene.append("order-1", 600).await;
    eventually("a checkpoint", async || scene.shown_size().await == 601).await;
    sealing.stop().await;
    scene.append("order-1", 100).await;
    // The new sealer does not know which tree the old witness has seen, and the new witness has seen none.
    let new = TestWitness::new(&scene, "n-new", 11);
    let _new = new.serve(0).await;
    let policy = scene.policy(&[old.line(), new.line()], "group both all n-old n-new\nquorum both");
    let sealing = scene.seal(&policy);
    eventually("a checkpoint of both", async || scene.shown_size().await == 701).await;
    assert_eq!(scene.cosigners(&policy, &scene.shown().await), ["n-old", "n-new"]);
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_history_is_refused_by_the_witness_and_alarms() {
    let (scene, other) = (Scene::start(6).await, Scene::start(6).await);
    let witness = TestWitness::new(&scene, "f-one", 12);
    let _witness = witness.serve(0).await;
    let policy = scene.policy(&[witness.line()], "quorum f-one");
    let sealing = scene.seal(&policy);
    scene.append("order-1", 20).await;
    eventually("a checkpoint", async || scene.shown_size().await == 21).await;
    sealing.stop().await;

    // Another database with the same origin and key, first with fewer leaves, then with more.
    other.append("order-1", 5).await;
    let sealing = other.seal(&policy);
    eventually("the rollback is logged", async || logged(&["ALARM", "f-one: has cosigned 21 leaves"])).await;
    other.append("order-1", 50).await;
    eventually("the second history is logged", async || logged(&["ALARM", "f-one: refuses this tree"])).await;
    eventually("the checkpoint is anchored", async || Scene::size(&other.anchored().await) == 56).await;
    assert_eq!(other.shown_size().await, 0, "a history that the witness refuses is shown");
    let metrics = sealing.metrics();
    assert!(metrics.contains(r#"witness_answers_total{witness="f-one",outcome="fork"}"#), "{metrics}");
    sealing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_satisfied_is_refused() {
    let scene = Scene::start(7).await;
    let one = TestWitness::new(&scene, "r-one", 13);
    one.port.set(1);
    let refused = |policy: &str| {
        let policy = sealbus_core::log::policy::Policy::parse(policy.as_bytes()).unwrap();
        Witnesses::new(policy, &scene.signer.verifier_key(), Duration::from_secs(1), Arc::new(SystemClock)).err()
    };
    let own = format!("log {}\n", scene.signer.verifier_key());
    assert!(matches!(refused(&format!("{}\nquorum r-one\n", one.line())), Some(WitnessesError::OtherLog { .. })));
    let without_url = one.line().rsplit_once(' ').unwrap().0.to_owned();
    let unreachable = refused(&format!("{own}{without_url}\nquorum r-one\n"));
    assert!(matches!(unreachable, Some(WitnessesError::Unreachable)), "{unreachable:?}");
    assert!(refused(&format!("{own}{without_url}\nquorum none\n")).is_none());
    let no_url = refused(&format!("{own}{without_url} ftp://witness\nquorum r-one\n"));
    assert!(matches!(no_url, Some(WitnessesError::Witness { .. })), "{no_url:?}");
}
