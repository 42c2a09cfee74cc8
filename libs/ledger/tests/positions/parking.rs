//! Parked and deferred positions, and the attempts at their next events.

use std::time::Duration;

use sealbus_ledger::delivery::dead_letters::BlockedQuery;
use sealbus_ledger::delivery::parking::{Locked, SetAside};
use sealbus_ledger::delivery::positions::PositionState;

use crate::scene::Scene;

/// An event that arrives while its plan is unparked is not lost, whichever of the two commits first
/// (`docs/spec/protocol.md#consume-4`).
#[tokio::test]
async fn an_event_that_arrives_while_its_plan_is_unparked_is_not_lost() {
    let scene = Scene::with(4).await;
    let ledger = &scene.test.ledger;
    assert!(scene.step(&scene.lease, &scene.position().await, 2).await);
    assert!(scene.park(&scene.position().await, 2).await);
    assert!(scene.step(&scene.lease, &scene.position().await, 3).await);
    // If the event is recorded as seen first, the plan is not unparked before the event is applied.
    assert_eq!(
        ledger.positions().mark_seen(scene.subscription_no, &[(scene.plan_no, 3)], Locked::Wait).await.unwrap(),
        [scene.plan_no]
    );
    assert!(!ledger.positions().unpark(scene.subscription_no, scene.plan_no).await.unwrap());
    assert!(scene.step(&scene.lease, &scene.position().await, 4).await);
    assert!(ledger.positions().unpark(scene.subscription_no, scene.plan_no).await.unwrap());
    // If the plan is unparked first, the event is not recorded as seen, so its message may not be acknowledged.
    assert!(
        ledger
            .positions()
            .mark_seen(scene.subscription_no, &[(scene.plan_no, 4)], Locked::Wait)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(scene.position().await.state, PositionState::Live);
}

#[tokio::test]
async fn seen_seq_never_decreases_and_takes_the_highest_of_a_plan() {
    let scene = Scene::with(5).await;
    let fresh = scene.position().await;
    assert_eq!(
        scene
            .test
            .ledger
            .positions()
            .defer(scene.subscription_no, &scene.lease, &[(&fresh, 3)], Locked::Wait)
            .await
            .unwrap(),
        [scene.plan_no]
    );
    let seen = [(scene.plan_no, 5), (scene.plan_no, 2)];
    assert_eq!(
        scene.test.ledger.positions().mark_seen(scene.subscription_no, &seen, Locked::Wait).await.unwrap(),
        [scene.plan_no]
    );
    assert_eq!(scene.position().await.seen_seq, 5);
    assert!(scene.park(&scene.position().await, 1).await);
    assert_eq!(scene.position().await.seen_seq, 5);
}

#[tokio::test]
async fn seen_seq_of_a_parked_position_is_at_least_its_next_event() {
    let scene = Scene::with(3).await;
    assert!(scene.park(&scene.position().await, 0).await);
    assert_eq!(scene.position().await.seen_seq, 1, "inserted");
    assert!(scene.step(&scene.lease, &scene.position().await, 3).await);
    assert!(scene.park(&scene.position().await, 0).await);
    assert_eq!(scene.position().await.seen_seq, 3, "updated");
}

#[tokio::test]
async fn an_attempt_is_counted_before_it_runs() {
    let scene = Scene::with(3).await;
    let ledger = &scene.test.ledger;
    let fresh = scene.position().await;
    assert!(
        !ledger.positions().begin_attempt(scene.subscription_no, &fresh, Duration::ZERO).await.unwrap(),
        "an attempt was counted without a row"
    );
    assert!(scene.park(&fresh, 2).await);
    let parked = scene.position().await;
    assert!(scene.is_due().await);
    assert!(ledger.positions().begin_attempt(scene.subscription_no, &parked, Duration::from_mins(10)).await.unwrap());
    assert_eq!(scene.position().await.attempts, 2);
    assert!(!scene.is_due().await, "the position is due before the pause has ended");
    assert!(scene.step(&scene.lease, &scene.position().await, 2).await);
    assert!(
        !ledger.positions().begin_attempt(scene.subscription_no, &parked, Duration::ZERO).await.unwrap(),
        "an attempt was counted at a position that had moved"
    );
}

#[tokio::test]
async fn attempts_are_numbered_across_several_failures() {
    let scene = Scene::with(1).await;
    assert!(scene.park(&scene.position().await, 1).await);
    let errors = ["again".to_owned(), "and again".to_owned()];
    let dead = SetAside { state: PositionState::Dead, seen_seq: 1, attempts: 3, retry_in: None, errors: &errors };
    assert!(
        scene
            .test
            .ledger
            .positions()
            .set_aside(scene.subscription_no, &scene.lease, &scene.position().await, &dead)
            .await
            .unwrap()
    );
    let attempts = scene.test.ledger.positions().attempts(scene.subscription_no, scene.plan_no, 1).await.unwrap();
    let recorded: Vec<(u32, &str)> = attempts.iter().map(|attempt| (attempt.n, attempt.error.as_str())).collect();
    assert_eq!(recorded, [(1, "it failed"), (2, "again"), (3, "and again")]);
    let blocked = scene
        .test
        .ledger
        .dead_letters()
        .list(&BlockedQuery { states: vec![PositionState::Dead], limit: 10, ..BlockedQuery::default() })
        .await
        .unwrap()
        .positions;
    assert_eq!(blocked.len(), 1);
    assert_eq!(
        (blocked[0].first_error.as_deref(), blocked[0].last_error.as_deref()),
        (Some("it failed"), Some("and again"))
    );
    assert_eq!((blocked[0].seq, blocked[0].state, blocked[0].next_at), (1, PositionState::Dead, None));
    assert!(!scene.is_due().await, "a dead letter is due without a command");
}

/// A plan with one event a day that fails is not late by a day.
#[tokio::test]
async fn the_age_of_a_plan_that_is_not_live_counts_from_when_it_stopped_being_live() {
    let scene = Scene::with(2).await;
    assert!(scene.step(&scene.lease, &scene.position().await, 2).await);
    let held: Vec<(i64, u32)> = (0..8).map(|partition| (scene.subscription_no, partition)).collect();
    let age = async || scene.test.ledger.positions().count_by_state(&held).await.unwrap().remove(0).oldest_seconds;
    scene.set("moved_at = now() - interval '1 day'").await;
    assert!(scene.park(&scene.position().await, 2).await);
    assert!(age().await < 3_600.0, "{}", age().await);
    // Failing again does not make it younger.
    scene.set("moved_at = now() - interval '1 day'").await;
    assert!(scene.park(&scene.position().await, 2).await);
    assert!(age().await > 80_000.0, "{}", age().await);

    scene.set("state = 'live', next_at = NULL").await;
    let position = scene.position().await;
    let deferred = [(&position, 2)];
    let deferred = scene.test.ledger.positions().defer(scene.subscription_no, &scene.lease, &deferred, Locked::Wait);
    assert_eq!(deferred.await.unwrap(), [scene.plan_no]);
    assert!(age().await < 3_600.0, "{}", age().await);
}
