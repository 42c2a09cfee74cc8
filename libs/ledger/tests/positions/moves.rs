//! Moves of positions, positions without a row, and pruning.

use std::time::Duration;

use sealbus_ledger::delivery::parking::{Locked, SetAside};
use sealbus_ledger::delivery::positions::{Move, PositionState, Retention, advance};
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::call;

use crate::scene::Scene;

#[tokio::test]
async fn a_position_without_a_row_begins_at_the_genesis_and_moves_once() {
    let scene = Scene::with(3).await;
    let fresh = scene.position().await;
    assert_eq!(
        (fresh.next_seq, fresh.last_hash, fresh.stored, fresh.state),
        (1, scene.hash(0), false, PositionState::Live)
    );
    assert!(scene.step(&scene.lease, &fresh, 2).await);
    assert!(!scene.step(&scene.lease, &fresh, 2).await, "a first row was inserted twice");
    let moved = scene.position().await;
    assert_eq!((moved.next_seq, moved.last_hash, moved.stored, moved.agrees), (2, scene.hash(1), true, true));
    assert!(scene.step(&scene.lease, &moved, 4).await);
    assert!(!scene.step(&scene.lease, &moved, 3).await, "a position that had moved was moved again");
    assert_eq!(scene.position().await.next_seq, 4);
}

#[tokio::test]
async fn a_first_row_needs_the_epoch_of_the_lease() {
    let mut scene = Scene::with(1).await;
    let (former_lease, fresh) = (scene.lease.clone(), scene.position().await);
    scene.take_over(2).await;
    assert!(!scene.step(&former_lease, &fresh, 2).await);
    assert!(
        !scene
            .test
            .ledger
            .positions()
            .set_aside(
                scene.subscription_no,
                &former_lease,
                &fresh,
                &SetAside { state: PositionState::Parked, seen_seq: 1, attempts: 1, retry_in: None, errors: &[] }
            )
            .await
            .unwrap()
    );
    assert!(
        scene
            .test
            .ledger
            .positions()
            .defer(scene.subscription_no, &former_lease, &[(&fresh, 1)], Locked::Wait)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(!scene.position().await.stored);
    assert!(scene.step(&scene.lease, &fresh, 2).await);
}

#[tokio::test]
async fn of_two_concurrent_moves_one_succeeds() {
    let scene = Scene::with(3).await;
    assert!(scene.step(&scene.lease, &scene.position().await, 2).await);
    let from = scene.position().await;
    let mut first = scene.test.ledger.effects().begin().await.unwrap();
    let step = Move { from: &from, next_seq: 3, last_hash: scene.hash(2) };
    assert!(advance(&mut first, scene.subscription_no, &scene.lease, &[step]).await.unwrap());
    // The second transaction waits for the row lock of the first, and then finds that the position has moved.
    let second = scene.step(&scene.lease, &from, 3);
    let (moved, committed) = tokio::join!(second, async { first.commit().await });
    committed.unwrap();
    assert!(!moved);
    assert_eq!(scene.position().await.next_seq, 3);
}

#[tokio::test]
async fn positions_in_one_transaction_move_together_or_not_at_all() {
    let scene = Scene::with(2).await;
    scene.appender.append(call("acme", "order-2", vec![draft(1)])).await.unwrap();
    let other_no = scene.test.ledger.history().plan_no("acme", "order-2").await.unwrap().unwrap();
    let positions =
        scene.test.ledger.positions().read(scene.subscription_no, &[scene.plan_no, other_no]).await.unwrap();
    let [mine, other] = [scene.plan_no, other_no].map(|plan_no| positions[&plan_no].as_ref().unwrap());
    assert!(scene.step(&scene.lease, mine, 2).await);
    let other_hash = scene.test.ledger.history().range(other_no, 1, 1, 1).await.unwrap()[0].event_hash;
    let moves = [
        Move { from: mine, next_seq: 3, last_hash: scene.hash(2) },
        Move { from: other, next_seq: 2, last_hash: other_hash },
    ];
    let mut transaction = scene.test.ledger.effects().begin().await.unwrap();
    assert!(!advance(&mut transaction, scene.subscription_no, &scene.lease, &moves).await.unwrap());
    transaction.rollback().await.unwrap();
    let other = scene.test.ledger.positions().read(scene.subscription_no, &[other_no]).await.unwrap();
    assert!(!other[&other_no].as_ref().unwrap().stored);
}

#[tokio::test]
async fn a_move_needs_the_state_that_was_read() {
    let scene = Scene::with(3).await;
    assert!(scene.step(&scene.lease, &scene.position().await, 2).await);
    let live = scene.position().await;
    assert!(scene.park(&live, 2).await);
    assert!(!scene.step(&scene.lease, &live, 3).await, "a parked row was moved as a live one");
    assert!(!scene.park(&live, 2).await);
    let parked = scene.position().await;
    assert_eq!((parked.state, parked.attempts, parked.seen_seq), (PositionState::Parked, 1, 2));
    assert!(scene.step(&scene.lease, &parked, 3).await);
    let moved = scene.position().await;
    assert_eq!((moved.state, moved.attempts), (PositionState::Parked, 0), "a moved position has all its attempts");
    assert!(scene.is_due().await, "a moved position is not due");
}

#[tokio::test]
async fn a_position_without_a_row_follows_from_the_floor() {
    let scene = Scene::with(3).await;
    scene.test.seal().await;
    scene.appender.append(call("acme", "order-1", vec![draft(4)])).await.unwrap();
    let size = scene.test.ledger.log().size().await.unwrap();
    scene.test.postgres.admin(&format!("UPDATE sealbus.floors SET floor = {}", size - 1)).await;
    let position = scene.position().await;
    assert_eq!((position.next_seq, position.last_hash, position.agrees), (3, scene.hash(2), true));
    scene.test.postgres.admin(&format!("UPDATE sealbus.floors SET floor = {size}")).await;
    assert_eq!(scene.position().await.next_seq, 4, "an event that is not sealed counts as below the floor");
    scene.test.postgres.admin("DELETE FROM sealbus.floors").await;
    let read = scene.test.ledger.positions().read(scene.subscription_no, &[scene.plan_no]).await.unwrap();
    assert!(read.is_empty(), "a subscription without a floor has a position");
}

fn retention() -> Retention {
    Retention { idle_positions: Duration::from_hours(24), attempts: Duration::from_hours(48) }
}

/// Attempts at an event that was applied meanwhile are deleted when they are old, those at the event that waits never.
#[tokio::test]
async fn old_attempts_at_applied_events_are_deleted() {
    let scene = Scene::with(3).await;
    let positions = scene.test.ledger.positions();
    assert!(scene.park(&scene.position().await, 1).await);
    assert!(scene.step(&scene.lease, &scene.position().await, 2).await);
    assert!(scene.park(&scene.position().await, 2).await);
    let prune = async || positions.prune(scene.subscription_no, 0, &retention(), 10).await.unwrap();
    let attempts = async || {
        let (one, two) = (
            positions.attempts(scene.subscription_no, scene.plan_no, 1),
            positions.attempts(scene.subscription_no, scene.plan_no, 2),
        );
        (one.await.unwrap().len(), two.await.unwrap().len())
    };
    scene.test.postgres.admin("UPDATE sealbus.attempts SET at = now() - interval '47 hours'").await;
    assert_eq!((prune().await, attempts().await), ((0, None), (1, 1)), "a young attempt was deleted");
    scene.test.postgres.admin("UPDATE sealbus.attempts SET at = now() - interval '49 hours'").await;
    assert_eq!((prune().await, attempts().await), ((0, None), (0, 1)));
}

/// Each condition of pruning, if it alone is not met, keeps the row.
#[tokio::test]
async fn only_a_row_that_follows_from_the_floor_is_pruned() {
    let scene = Scene::with(2).await;
    let ledger = &scene.test.ledger;
    scene.test.seal().await;
    assert!(scene.step(&scene.lease, &scene.position().await, 3).await);
    let size = ledger.log().size().await.unwrap();
    let prune = || async { ledger.positions().prune(scene.subscription_no, 0, &retention(), 10).await.unwrap().0 };
    let floor = |floor: u64| format!("UPDATE sealbus.floors SET floor = {floor}");
    let hash = |seq| format!("last_hash = '\\x{}'", scene.hash(seq));

    scene.set("moved_at = clock_timestamp() - interval '2 days'").await;
    scene.test.postgres.admin(&floor(size - 1)).await;
    assert_eq!(prune().await, 0, "a row was pruned whose last event is not below the floor");
    scene.test.postgres.admin(&floor(size)).await;
    scene.set("state = 'parked'").await;
    assert_eq!(prune().await, 0, "a row was pruned that is not live");
    scene.set("state = 'live'").await;
    scene.set(&hash(1)).await;
    assert_eq!(prune().await, 0, "a row was pruned whose applied event is not the one in the ledger");
    scene.set(&hash(2)).await;
    scene.set("moved_at = clock_timestamp() - interval '23 hours'").await;
    assert_eq!(prune().await, 0, "a row was pruned that moved within a day");
    scene.set("moved_at = clock_timestamp() - interval '25 hours'").await;
    let before = scene.position().await;
    assert_eq!(prune().await, 1);
    let after = scene.position().await;
    assert!(!after.stored);
    assert_eq!(
        (after.next_seq, after.last_hash),
        (before.next_seq, before.last_hash),
        "the floor gives another position than the pruned row"
    );
    assert!(!scene.step(&scene.lease, &before, 3).await, "a writer that read the pruned row updates nothing");
}
