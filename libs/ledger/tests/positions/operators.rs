//! The commands of operators.

use sealbus_core::canonical::Text;
use sealbus_core::hash::Hash;
use sealbus_core::names::Plan;
use sealbus_ledger::delivery::command::{OperatorAction, OperatorCommand};
use sealbus_ledger::delivery::operator::{CommandError, OperatorRequest};
use sealbus_ledger::delivery::parking::SetAside;
use sealbus_ledger::delivery::positions::{Position, PositionState};
use sealbus_ledger::history::PageQuery;
use sealbus_testkit::ledger::{plan, tenant};

use crate::scene::{Scene, subscription};

fn operator_request(reason: &str) -> OperatorRequest {
    OperatorRequest {
        subscription: subscription(),
        tenant: tenant("acme"),
        plan: plan("order-1"),
        actor: "olga".into(),
        reason: reason.into(),
    }
}

#[tokio::test]
async fn a_command_is_appended_as_an_event_and_makes_the_position_due() {
    let scene = Scene::with(2).await;
    let (ledger, appender) = (&scene.test.ledger, &scene.appender);
    assert!(matches!(
        ledger.dead_letters().issue(appender, &operator_request("r"), OperatorAction::Redrive).await,
        Err(CommandError::NotBlocked(..))
    ));
    assert!(scene.park(&scene.position().await, 2).await);
    assert!(matches!(
        ledger.dead_letters().issue(appender, &operator_request(""), OperatorAction::Redrive).await,
        Err(CommandError::Reason)
    ));
    let settle = OperatorAction::Settle { event_seq: 1, event_hash: scene.hash(1) };
    assert!(matches!(
        ledger.dead_letters().issue(appender, &operator_request("r"), settle).await,
        Err(CommandError::WrongState { .. })
    ));
    scene.set("next_at = NULL").await;
    assert_eq!(
        ledger
            .dead_letters()
            .issue(appender, &operator_request("the mail server is back"), OperatorAction::Redrive)
            .await
            .unwrap(),
        1
    );
    assert_eq!(scene.position().await.command, Some(OperatorCommand { seq: 1, action: OperatorAction::Redrive }));
    assert!(scene.is_due().await);
    assert_eq!(
        ledger.dead_letters().issue(appender, &operator_request("never mind"), OperatorAction::Skip).await.unwrap(),
        1
    );
    assert_eq!(scene.position().await.command, Some(OperatorCommand { seq: 1, action: OperatorAction::Skip }));
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
        assert!(rule.validate(Text::from(&data).node()).is_empty());
    }
}

#[tokio::test]
async fn a_command_is_carried_out_once_and_only_at_its_position() {
    let scene = Scene::with(3).await;
    let (ledger, appender) = (&scene.test.ledger, &scene.appender);
    assert!(scene.park(&scene.position().await, 3).await);
    let before_command = scene.position().await;
    ledger.dead_letters().issue(appender, &operator_request("r"), OperatorAction::Skip).await.unwrap();
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
    assert!(!resume(before_command, 2).await, "a position was resumed that was read before the command");
    let commanded = scene.position().await;
    assert!(resume(commanded.clone(), 2).await);
    let resumed = scene.position().await;
    assert_eq!(
        (resumed.next_seq, resumed.last_hash, resumed.state, resumed.attempts, &resumed.command),
        (2, scene.hash(1), PositionState::Parked, 0, &None)
    );
    assert!(!resume(commanded.clone(), 2).await, "a command was carried out twice");
    assert!(!ledger.positions().clear_command(scene.subscription_no, &commanded).await.unwrap());
    // An operator command that is issued before the position becomes a dead letter stays due.
    ledger.dead_letters().issue(appender, &operator_request("r"), OperatorAction::Redrive).await.unwrap();
    let dead = SetAside { state: PositionState::Dead, seen_seq: 3, attempts: 3, retry_in: None, errors: &[] };
    assert!(ledger.positions().set_aside(scene.subscription_no, &scene.lease, &resumed, &dead).await.unwrap());
    assert!(scene.is_due().await);
    assert!(ledger.positions().clear_command(scene.subscription_no, &scene.position().await).await.unwrap());
    assert!(!scene.is_due().await);
}

#[tokio::test]
async fn a_fork_is_settled_by_an_event_that_the_ledger_holds() {
    let scene = Scene::with(3).await;
    let (ledger, appender) = (&scene.test.ledger, &scene.appender);
    let fork = SetAside { state: PositionState::Fork, seen_seq: 3, attempts: 0, retry_in: None, errors: &[] };
    assert!(scene.step(&scene.lease, &scene.position().await, 3).await);
    assert!(
        ledger
            .positions()
            .set_aside(scene.subscription_no, &scene.lease, &scene.position().await, &fork)
            .await
            .unwrap()
    );
    assert!(!ledger.positions().unpark(scene.subscription_no, scene.plan_no).await.unwrap());
    assert!(matches!(
        ledger.dead_letters().issue(appender, &operator_request("r"), OperatorAction::Redrive).await,
        Err(CommandError::WrongState { .. })
    ));
    let foreign = OperatorAction::Settle { event_seq: 2, event_hash: Hash([7; 32]) };
    assert!(matches!(
        ledger.dead_letters().issue(appender, &operator_request("r"), foreign).await,
        Err(CommandError::NotInLedger(..))
    ));
    let event_hash = scene.hash(2);
    assert_eq!(
        ledger
            .dead_letters()
            .issue(
                appender,
                &operator_request("the ledger is right"),
                OperatorAction::Settle { event_seq: 2, event_hash }
            )
            .await
            .unwrap(),
        2
    );
    let action = OperatorAction::Settle { event_seq: 2, event_hash };
    assert_eq!(scene.position().await.command, Some(OperatorCommand { seq: 3, action }));
    let page = PageQuery { limit: 10, ..PageQuery::default() };
    let events = ledger.history().page(&tenant("acme"), &Plan::deliveries(), &page).await.unwrap().records;
    let data: serde_json::Value = serde_json::from_str(events[0].payload.as_deref().unwrap()).unwrap();
    let catalog = sealbus_core::catalog::Catalog::read(&[]).unwrap();
    assert!(catalog.resolve("delivery.fork_settled", 1).unwrap().validate(Text::from(&data).node()).is_empty());
    assert_eq!(data["hash"], event_hash.to_string());
}

#[tokio::test]
async fn settling_a_fork_moves_the_position_before_the_first_event_or_forwards() {
    let scene = Scene::with(3).await;
    let ledger = &scene.test.ledger;
    assert!(scene.step(&scene.lease, &scene.position().await, 3).await);
    for (before, event_seq) in [(3, 0), (1, 3)] {
        let fork = SetAside { state: PositionState::Fork, seen_seq: 3, attempts: 0, retry_in: None, errors: &[] };
        let position = scene.position().await;
        assert_eq!(position.next_seq, before);
        assert!(ledger.positions().set_aside(scene.subscription_no, &scene.lease, &position, &fork).await.unwrap());
        let event_hash = scene.hash(event_seq);
        let settle = OperatorAction::Settle { event_seq, event_hash };
        let wrong = OperatorAction::Settle { event_seq, event_hash: Hash([7; 32]) };
        let refused = ledger.dead_letters().issue(&scene.appender, &operator_request("r"), wrong).await;
        assert!(matches!(refused, Err(CommandError::NotInLedger(seq, _)) if seq == event_seq), "{refused:?}");
        let named = ledger.dead_letters().issue(&scene.appender, &operator_request("r"), settle).await.unwrap();
        assert_eq!(named, event_seq);
        let commanded = scene.position().await;
        assert_eq!(commanded.command, Some(OperatorCommand { seq: before, action: settle }));
        let positions = ledger.positions();
        let next_seq = event_seq + 1;
        assert!(positions.resume(scene.subscription_no, &scene.lease, &commanded, next_seq, event_hash).await.unwrap());
        let settled = scene.position().await;
        assert_eq!((settled.next_seq, settled.last_hash, settled.command), (next_seq, event_hash, None));
    }
}
