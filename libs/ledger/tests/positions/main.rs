//! Positions on a real Postgres: the check of the lease epoch, the first row, parking, unparking, operator commands and pruning.
//! Each test fails if a statement lacks a clause that the protocol's rules under "Consume" require.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scene;

use std::time::Duration;

use sealbus_core::hash::Hash;
use sealbus_core::names::Plan;
use sealbus_ledger::delivery::dead_letters::BlockedQuery;
use sealbus_ledger::delivery::operator::{CommandError, OperatorAction, OperatorCommand, OperatorRequest};
use sealbus_ledger::delivery::parking::SetAside;
use sealbus_ledger::delivery::positions::{Move, Position, PositionState, advance};
use sealbus_ledger::history::PageQuery;

use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{call, plan, tenant};

use crate::scene::{Scene, subscription};

#[tokio::test]
async fn a_plan_without_a_row_begins_at_its_genesis_and_moves_once() {
    let scene = Scene::with(3).await;
    let fresh = scene.standing().await;
    assert_eq!(
        (fresh.next_seq, fresh.last_hash, fresh.stored, fresh.state),
        (1, scene.hash(0), false, PositionState::Live)
    );
    assert!(scene.step(&scene.lease, &fresh, 2).await);
    assert!(!scene.step(&scene.lease, &fresh, 2).await, "the row is there now");
    let moved = scene.standing().await;
    assert_eq!((moved.next_seq, moved.last_hash, moved.stored, moved.agrees), (2, scene.hash(1), true, true));
    assert!(scene.step(&scene.lease, &moved, 4).await);
    assert!(!scene.step(&scene.lease, &moved, 3).await, "it is not where it was read");
    assert_eq!(scene.standing().await.next_seq, 4);
}

#[tokio::test]
async fn a_first_row_needs_the_epoch_of_the_lease() {
    let mut scene = Scene::with(1).await;
    let (zombie, fresh) = (scene.lease.clone(), scene.standing().await);
    scene.take_over(2).await;
    assert!(!scene.step(&zombie, &fresh, 2).await);
    assert!(
        !scene
            .test
            .ledger
            .positions()
            .set_aside(
                scene.subscription_no,
                &zombie,
                &fresh,
                &SetAside { state: PositionState::Parked, seen_seq: 1, attempts: 1, retry_in: None, errors: &[] }
            )
            .await
            .unwrap()
    );
    assert!(
        scene.test.ledger.positions().defer(scene.subscription_no, &zombie, &[(&fresh, 1)]).await.unwrap().is_empty()
    );
    assert!(!scene.standing().await.stored);
    assert!(scene.step(&scene.lease, &fresh, 2).await);
}

#[tokio::test]
async fn of_two_holders_at_once_one_takes_effect() {
    let scene = Scene::with(3).await;
    assert!(scene.step(&scene.lease, &scene.standing().await, 2).await);
    let from = scene.standing().await;
    let mut first = scene.test.ledger.effects_pool().begin().await.unwrap();
    let step = Move { from: &from, next_seq: 3, last_hash: scene.hash(2) };
    assert!(advance(&mut first, scene.subscription_no, &scene.lease, &[step]).await.unwrap());
    // The second transaction waits for the row lock of the first, and then finds that the position has moved.
    let second = scene.step(&scene.lease, &from, 3);
    let (moved, committed) = tokio::join!(second, async { first.commit().await });
    committed.unwrap();
    assert!(!moved);
    assert_eq!(scene.standing().await.next_seq, 3);
}

#[tokio::test]
async fn of_several_positions_in_one_transaction_all_move_or_none() {
    let scene = Scene::with(2).await;
    scene.appender.append(call("acme", "order-2", vec![draft(1)])).await.unwrap();
    let other_no = scene.test.ledger.history().plan_no("acme", "order-2").await.unwrap().unwrap();
    let standings =
        scene.test.ledger.positions().read(scene.subscription_no, &[scene.plan_no, other_no]).await.unwrap();
    let (mine, other) = (&standings[&scene.plan_no], &standings[&other_no]);
    assert!(scene.step(&scene.lease, mine, 2).await);
    let other_hash = scene.test.ledger.history().range(other_no, 1, 1, 1).await.unwrap()[0].event_hash;
    let moves = [
        Move { from: mine, next_seq: 3, last_hash: scene.hash(2) },
        Move { from: other, next_seq: 2, last_hash: other_hash },
    ];
    let mut transaction = scene.test.ledger.effects_pool().begin().await.unwrap();
    assert!(!advance(&mut transaction, scene.subscription_no, &scene.lease, &moves).await.unwrap());
    transaction.rollback().await.unwrap();
    assert!(!scene.test.ledger.positions().read(scene.subscription_no, &[other_no]).await.unwrap()[&other_no].stored);
}

#[tokio::test]
async fn a_move_needs_the_state_that_was_read() {
    let scene = Scene::with(3).await;
    assert!(scene.step(&scene.lease, &scene.standing().await, 2).await);
    let live = scene.standing().await;
    assert!(scene.park(&live, 2).await);
    assert!(!scene.step(&scene.lease, &live, 3).await, "a live move meets a parked row");
    assert!(!scene.park(&live, 2).await);
    let parked = scene.standing().await;
    assert_eq!((parked.state, parked.attempts, parked.seen_seq), (PositionState::Parked, 1, 2));
    assert!(scene.step(&scene.lease, &parked, 3).await);
    let moved = scene.standing().await;
    assert_eq!((moved.state, moved.attempts), (PositionState::Parked, 0), "a moved position has all its attempts");
    assert!(scene.is_due().await, "and is due at once");
}

#[tokio::test]
async fn a_plan_without_a_row_stands_above_the_floor() {
    let scene = Scene::with(3).await;
    scene.test.seal().await;
    scene.appender.append(call("acme", "order-1", vec![draft(4)])).await.unwrap();
    let size = scene.test.ledger.log().size().await.unwrap();
    scene.test.postgres.admin(&format!("UPDATE sealbus.floors SET floor = {}", size - 1)).await;
    let standing = scene.standing().await;
    assert_eq!((standing.next_seq, standing.last_hash, standing.agrees), (3, scene.hash(2), true));
    scene.test.postgres.admin(&format!("UPDATE sealbus.floors SET floor = {size}")).await;
    assert_eq!(scene.standing().await.next_seq, 4, "the unsealed one is not below any floor");
    scene.test.postgres.admin("DELETE FROM sealbus.floors").await;
    let nowhere = scene.test.ledger.positions().read(scene.subscription_no, &[scene.plan_no]).await.unwrap();
    assert!(nowhere.is_empty(), "a subscription without a floor stands nowhere");
}

/// An event that arrives while its plan is unparked is not lost, whichever of the two commits first
/// (`docs/spec/protocol.md#consume-4`).
#[tokio::test]
async fn an_event_that_arrives_while_its_plan_is_unparked() {
    let scene = Scene::with(4).await;
    let ledger = &scene.test.ledger;
    assert!(scene.step(&scene.lease, &scene.standing().await, 2).await);
    assert!(scene.park(&scene.standing().await, 2).await);
    assert!(scene.step(&scene.lease, &scene.standing().await, 3).await);
    // If the event is recorded as seen first, the plan is not unparked before the event is applied.
    assert_eq!(
        ledger.positions().mark_seen(scene.subscription_no, &[(scene.plan_no, 3)]).await.unwrap(),
        [scene.plan_no]
    );
    assert!(!ledger.positions().unpark(scene.subscription_no, scene.plan_no).await.unwrap());
    assert!(scene.step(&scene.lease, &scene.standing().await, 4).await);
    assert!(ledger.positions().unpark(scene.subscription_no, scene.plan_no).await.unwrap());
    // If the plan is unparked first, the event is not recorded as seen, so its message may not be acknowledged.
    assert!(ledger.positions().mark_seen(scene.subscription_no, &[(scene.plan_no, 4)]).await.unwrap().is_empty());
    assert_eq!(scene.standing().await.state, PositionState::Live);
}

#[tokio::test]
async fn seen_seq_never_falls_and_takes_the_highest_of_a_plan() {
    let scene = Scene::with(5).await;
    let fresh = scene.standing().await;
    assert_eq!(
        scene.test.ledger.positions().defer(scene.subscription_no, &scene.lease, &[(&fresh, 3)]).await.unwrap(),
        [scene.plan_no]
    );
    let seen = [(scene.plan_no, 5), (scene.plan_no, 2)];
    assert_eq!(scene.test.ledger.positions().mark_seen(scene.subscription_no, &seen).await.unwrap(), [scene.plan_no]);
    assert_eq!(scene.standing().await.seen_seq, 5);
    assert!(scene.park(&scene.standing().await, 1).await);
    assert_eq!(scene.standing().await.seen_seq, 5);
}

#[tokio::test]
async fn what_is_set_aside_owes_its_next_event_at_least() {
    let scene = Scene::with(3).await;
    assert!(scene.park(&scene.standing().await, 0).await);
    assert_eq!(scene.standing().await.seen_seq, 1, "inserted");
    assert!(scene.step(&scene.lease, &scene.standing().await, 3).await);
    assert!(scene.park(&scene.standing().await, 0).await);
    assert_eq!(scene.standing().await.seen_seq, 3, "updated");
}

#[tokio::test]
async fn attempts_are_counted_before_anything_runs() {
    let scene = Scene::with(3).await;
    let ledger = &scene.test.ledger;
    let fresh = scene.standing().await;
    assert!(
        !ledger.positions().begin_attempt(scene.subscription_no, &fresh, Duration::ZERO).await.unwrap(),
        "there is no row"
    );
    assert!(scene.park(&fresh, 2).await);
    let parked = scene.standing().await;
    assert!(scene.is_due().await);
    assert!(ledger.positions().begin_attempt(scene.subscription_no, &parked, Duration::from_mins(10)).await.unwrap());
    assert_eq!(scene.standing().await.attempts, 2);
    assert!(!scene.is_due().await, "not before the next pause is over");
    assert!(scene.step(&scene.lease, &scene.standing().await, 2).await);
    assert!(
        !ledger.positions().begin_attempt(scene.subscription_no, &parked, Duration::ZERO).await.unwrap(),
        "it has moved"
    );
}

#[tokio::test]
async fn errors_are_numbered_over_all_rounds() {
    let scene = Scene::with(1).await;
    assert!(scene.park(&scene.standing().await, 1).await);
    let errors = ["again".to_owned(), "and again".to_owned()];
    let dead = SetAside { state: PositionState::Dead, seen_seq: 1, attempts: 3, retry_in: None, errors: &errors };
    assert!(
        scene
            .test
            .ledger
            .positions()
            .set_aside(scene.subscription_no, &scene.lease, &scene.standing().await, &dead)
            .await
            .unwrap()
    );
    let attempts = scene.test.ledger.positions().attempts(scene.subscription_no, scene.plan_no, 1).await.unwrap();
    let said: Vec<(u32, &str)> = attempts.iter().map(|attempt| (attempt.n, attempt.error.as_str())).collect();
    assert_eq!(said, [(1, "it failed"), (2, "again"), (3, "and again")]);
    let owed = scene
        .test
        .ledger
        .dead_letters()
        .list(&BlockedQuery { states: vec![PositionState::Dead], limit: 10, ..BlockedQuery::default() })
        .await
        .unwrap();
    assert_eq!(owed.len(), 1);
    assert_eq!((owed[0].first_error.as_deref(), owed[0].last_error.as_deref()), (Some("it failed"), Some("and again")));
    assert_eq!((owed[0].seq, owed[0].state, owed[0].next_at), (1, PositionState::Dead, None));
    assert!(!scene.is_due().await, "a dead letter waits for an operator");
}

fn order(reason: &str) -> OperatorRequest {
    OperatorRequest {
        subscription: subscription(),
        tenant: tenant("acme"),
        plan: plan("order-1"),
        actor: "olga".into(),
        reason: reason.into(),
    }
}

#[tokio::test]
async fn an_ask_is_an_event_first_and_then_due() {
    let scene = Scene::with(2).await;
    let (ledger, appender) = (&scene.test.ledger, &scene.appender);
    assert!(matches!(
        ledger.dead_letters().issue(appender, &order("r"), OperatorAction::Redrive).await,
        Err(CommandError::NotBlocked(..))
    ));
    assert!(scene.park(&scene.standing().await, 2).await);
    assert!(matches!(
        ledger.dead_letters().issue(appender, &order(""), OperatorAction::Redrive).await,
        Err(CommandError::Reason)
    ));
    let settle = OperatorAction::Settle { event_hash: scene.hash(1) };
    assert!(matches!(
        ledger.dead_letters().issue(appender, &order("r"), settle).await,
        Err(CommandError::WrongState(..))
    ));
    scene.set("next_at = NULL").await;
    assert_eq!(
        ledger
            .dead_letters()
            .issue(appender, &order("the mail server is back"), OperatorAction::Redrive)
            .await
            .unwrap(),
        1
    );
    assert_eq!(scene.standing().await.command, Some(OperatorCommand { seq: 1, action: OperatorAction::Redrive }));
    assert!(scene.is_due().await);
    assert_eq!(ledger.dead_letters().issue(appender, &order("never mind"), OperatorAction::Skip).await.unwrap(), 1);
    assert_eq!(scene.standing().await.command, Some(OperatorCommand { seq: 1, action: OperatorAction::Skip }));
    let page = PageQuery { limit: 10, ..PageQuery::default() };
    let events = ledger.history().page(&tenant("acme"), &Plan::deliveries(), &page).await.unwrap().records;
    let types: Vec<&str> = events.iter().map(|event| event.header.event_type.as_str()).collect();
    assert_eq!(types, ["delivery.redriven", "delivery.skipped"]);
    assert_eq!(events[0].header.actor, "olga");
    assert_eq!(
        events[0].payload.as_deref(),
        Some(r#"{"plan":"order-1","reason":"the mail server is back","seq":1,"subscription":"audit"}"#)
    );
    // The payloads of the operator's events match their schemas in the catalog.
    let catalog = sealbus_core::catalog::Catalog::read(&[]).unwrap();
    for event in &events {
        let data = serde_json::from_str(event.payload.as_deref().unwrap()).unwrap();
        let rule = catalog.resolve(&event.header.event_type, 1).unwrap();
        assert!(rule.validate(&data).is_empty());
    }
}

#[tokio::test]
async fn an_ask_is_carried_out_where_it_was_asked_and_nowhere_else() {
    let scene = Scene::with(3).await;
    let (ledger, appender) = (&scene.test.ledger, &scene.appender);
    assert!(scene.park(&scene.standing().await, 3).await);
    let unasked = scene.standing().await;
    ledger.dead_letters().issue(appender, &order("r"), OperatorAction::Skip).await.unwrap();
    let resume = |from: Position, next_seq| {
        let hash = scene.hash(next_seq - 1);
        let scene = &scene;
        async move {
            scene
                .test
                .ledger
                .positions()
                .resume(scene.subscription_no, &scene.lease, &from, next_seq, hash)
                .await
                .unwrap()
        }
    };
    assert!(!resume(unasked, 2).await, "the ask was not read");
    let asked = scene.standing().await;
    assert!(resume(asked.clone(), 2).await);
    let resumed = scene.standing().await;
    assert_eq!(
        (resumed.next_seq, resumed.last_hash, resumed.state, resumed.attempts, &resumed.command),
        (2, scene.hash(1), PositionState::Parked, 0, &None)
    );
    assert!(!resume(asked.clone(), 2).await, "it is carried out once");
    assert!(!ledger.positions().clear_command(scene.subscription_no, &asked).await.unwrap());
    // An operator command that is issued before the position becomes a dead letter stays due.
    ledger.dead_letters().issue(appender, &order("r"), OperatorAction::Redrive).await.unwrap();
    let dead = SetAside { state: PositionState::Dead, seen_seq: 3, attempts: 3, retry_in: None, errors: &[] };
    assert!(ledger.positions().set_aside(scene.subscription_no, &scene.lease, &resumed, &dead).await.unwrap());
    assert!(scene.is_due().await);
    assert!(ledger.positions().clear_command(scene.subscription_no, &scene.standing().await).await.unwrap());
    assert!(!scene.is_due().await);
}

#[tokio::test]
async fn a_fork_is_settled_by_an_event_that_the_ledger_holds() {
    let scene = Scene::with(3).await;
    let (ledger, appender) = (&scene.test.ledger, &scene.appender);
    let fork = SetAside { state: PositionState::Fork, seen_seq: 3, attempts: 0, retry_in: None, errors: &[] };
    assert!(scene.step(&scene.lease, &scene.standing().await, 3).await);
    assert!(
        ledger
            .positions()
            .set_aside(scene.subscription_no, &scene.lease, &scene.standing().await, &fork)
            .await
            .unwrap()
    );
    assert!(!ledger.positions().unpark(scene.subscription_no, scene.plan_no).await.unwrap());
    assert!(matches!(
        ledger.dead_letters().issue(appender, &order("r"), OperatorAction::Redrive).await,
        Err(CommandError::WrongState(..))
    ));
    let foreign = OperatorAction::Settle { event_hash: Hash([7; 32]) };
    assert!(matches!(
        ledger.dead_letters().issue(appender, &order("r"), foreign).await,
        Err(CommandError::NotInLedger(_))
    ));
    let event_hash = scene.hash(2);
    assert_eq!(
        ledger
            .dead_letters()
            .issue(appender, &order("the ledger is right"), OperatorAction::Settle { event_hash })
            .await
            .unwrap(),
        2
    );
    let action = OperatorAction::Settle { event_hash };
    assert_eq!(scene.standing().await.command, Some(OperatorCommand { seq: 3, action }));
    let page = PageQuery { limit: 10, ..PageQuery::default() };
    let events = ledger.history().page(&tenant("acme"), &Plan::deliveries(), &page).await.unwrap().records;
    let data: serde_json::Value = serde_json::from_str(events[0].payload.as_deref().unwrap()).unwrap();
    let catalog = sealbus_core::catalog::Catalog::read(&[]).unwrap();
    assert!(catalog.resolve("delivery.fork_settled", 1).unwrap().validate(&data).is_empty());
    assert_eq!(data["hash"], event_hash.to_string());
}

/// Each condition of pruning, if it alone is not met, keeps the row.
#[tokio::test]
async fn only_a_row_that_says_no_more_than_the_floor_is_pruned() {
    let scene = Scene::with(2).await;
    let ledger = &scene.test.ledger;
    scene.test.seal().await;
    assert!(scene.step(&scene.lease, &scene.standing().await, 3).await);
    let size = ledger.log().size().await.unwrap();
    let prune =
        || async { ledger.positions().prune(scene.subscription_no, Duration::from_hours(24), 10).await.unwrap() };
    let floor = |floor: u64| format!("UPDATE sealbus.floors SET floor = {floor}");
    let hash = |seq| format!("last_hash = '\\x{}'", scene.hash(seq));

    scene.set("moved_at = clock_timestamp() - interval '2 days'").await;
    scene.test.postgres.admin(&floor(size - 1)).await;
    assert_eq!(prune().await, 0, "its last event is not below the floor");
    scene.test.postgres.admin(&floor(size)).await;
    scene.set("state = 'parked'").await;
    assert_eq!(prune().await, 0, "it is not live");
    scene.set("state = 'live'").await;
    scene.set(&hash(1)).await;
    assert_eq!(prune().await, 0, "what was applied is not the ledger's");
    scene.set(&hash(2)).await;
    scene.set("moved_at = clock_timestamp() - interval '23 hours'").await;
    assert_eq!(prune().await, 0, "it moved within a day");
    scene.set("moved_at = clock_timestamp() - interval '25 hours'").await;
    let before = scene.standing().await;
    assert_eq!(prune().await, 1);
    let after = scene.standing().await;
    assert!(!after.stored);
    assert_eq!((after.next_seq, after.last_hash), (before.next_seq, before.last_hash), "the floor says the same");
    assert!(!scene.step(&scene.lease, &before, 3).await, "a writer that read the pruned row updates nothing");
}
