//! Rows that a superuser changed to values that Sealbus never writes. Each is an error that names table, column and row.

use sealbus_ledger::delivery::dead_letters::{BlockedList, BlockedQuery};
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_testkit::events::numbered;
use sealbus_testkit::ledger::call;

use crate::scene::{Scene, subscription};

#[tokio::test]
async fn a_corrupt_position_is_an_error_that_names_table_column_and_row() {
    let scene = Scene::with(2).await;
    assert!(scene.park(&scene.position().await, 1).await);
    let row = scene.plan_no;
    let list = || async {
        let query = BlockedQuery { limit: 10, ..BlockedQuery::default() };
        scene.test.ledger.dead_letters().list(&query).await.unwrap()
    };
    // Another plan, whose position can be read, is not hidden.
    park_another(&scene).await;
    scene.test.postgres.admin("ALTER TABLE sealbus.positions DROP CONSTRAINT positions_state_check").await;
    scene.test.postgres.admin("CREATE TABLE public.backup AS SELECT * FROM sealbus.positions").await;
    for (change, fault) in [
        ("state = 'paused'", format!(r#"positions.state of row {row} is invalid: unknown state "paused""#)),
        ("next_seq = -1", format!("positions.next_seq of row {row} is invalid: -1 is not a u64")),
        ("seen_seq = -2", format!("positions.seen_seq of row {row} is invalid: -2 is not a u64")),
        ("attempts = -3", format!("positions.attempts of row {row} is invalid: -3 is not a u32")),
        ("last_hash = 'short'", format!("positions.last_hash of row {row} is invalid: 5 bytes instead of 32")),
        ("ask = '{}'", format!("positions.ask of row {row} is invalid: not an operator command: ")),
    ] {
        scene.set(change).await;
        let read = scene.test.ledger.positions().read(scene.subscription_no, &[row]).await;
        let error = read.unwrap().remove(&row).unwrap().unwrap_err().to_string();
        assert!(error.starts_with(&fault), "{change}: {error}");
        let BlockedList { positions, unreadable } = list().await;
        assert_eq!((positions.len(), unreadable.len()), (1, 1), "{change}");
        assert!(unreadable[0].to_string().starts_with(&fault), "{change}: {}", unreadable[0]);
        let restore = "DELETE FROM sealbus.positions; INSERT INTO sealbus.positions SELECT * FROM public.backup";
        scene.test.postgres.admin(restore).await;
    }
    scene.set("next_at = 'infinity'").await;
    let error = list().await.unreadable.remove(0).to_string();
    assert_eq!(error, format!("positions.next_at of row {row} is invalid: not in the years -9999 to 9999"));
    let errors = scene.test.ledger.positions().attempts(scene.subscription_no, row, 1);
    assert_eq!(errors.await.unwrap().len(), 1);
    scene.test.postgres.admin("UPDATE sealbus.attempts SET at = '-infinity'").await;
    let errors = scene.test.ledger.positions().attempts(scene.subscription_no, row, 1);
    let error = errors.await.unwrap_err().to_string();
    assert_eq!(error, format!("attempts.at of row {row} is invalid: not in the years -9999 to 9999"));
    assert!(scene.position().await.stored, "the restored row cannot be read");
}

/// Adds a plan whose position is parked and due.
async fn park_another(scene: &Scene) {
    scene.appender.append(call("acme", "order-2", vec![numbered(1)])).await.unwrap();
    let park = format!(
        "INSERT INTO sealbus.positions (subscription_no, plan_no, next_seq, last_hash, state, next_at, epoch)
         SELECT {}, plan_no, 1, sha256('genesis'), 'parked', now(), 1 FROM sealbus.plans WHERE plan = 'order-2'",
        scene.subscription_no
    );
    scene.test.postgres.admin(&park).await;
}

#[tokio::test]
async fn a_plan_with_a_damaged_row_hides_no_due_position_of_another_one() {
    let scene = Scene::with(2).await;
    assert!(scene.park(&scene.position().await, 1).await);
    park_another(&scene).await;
    let held: Vec<(i64, u32)> = (0..8).map(|partition| (scene.subscription_no, partition)).collect();
    for column in ["tenant", "plan", "partition"] {
        let postgres = &scene.test.postgres;
        postgres.admin("CREATE TABLE public.backup AS SELECT * FROM sealbus.plans").await;
        let damage = format!(
            "SET session_replication_role = replica; ALTER TABLE sealbus.plans ALTER {column} DROP NOT NULL;
             UPDATE sealbus.plans SET {column} = NULL WHERE plan_no = {}",
            scene.plan_no
        );
        postgres.admin(&damage).await;
        let due = scene.test.ledger.positions().due(&held, 10).await.unwrap();
        assert_eq!(due.iter().map(|due| due.plan.as_str()).collect::<Vec<_>>(), ["order-2"], "{column}");
        let restore = format!(
            "SET session_replication_role = replica;
             UPDATE sealbus.plans p SET {column} = b.{column} FROM public.backup b WHERE b.plan_no = p.plan_no;
             DROP TABLE public.backup"
        );
        postgres.admin(&restore).await;
    }
    assert_eq!(scene.test.ledger.positions().due(&held, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_position_that_cannot_be_read_is_counted_as_unknown_and_hides_no_other() {
    let scene = Scene::with(2).await;
    assert!(scene.park(&scene.position().await, 1).await);
    scene.test.postgres.admin("ALTER TABLE sealbus.positions DROP CONSTRAINT positions_state_check").await;
    let held: Vec<(i64, u32)> = (0..8).map(|partition| (scene.subscription_no, partition)).collect();
    for (change, state) in [("moved_at = 'infinity'", Some(PositionState::Parked)), ("state = 'paused'", None)] {
        scene.set(change).await;
        let counts = scene.test.ledger.positions().count_by_state(&held).await.unwrap();
        assert_eq!(
            counts.iter().map(|count| (count.state, count.positions)).collect::<Vec<_>>(),
            [(state, 1)],
            "{change}"
        );
    }
}

#[tokio::test]
async fn a_corrupt_subscription_or_floor_is_an_error_that_names_table_column_and_row() {
    let scene = Scene::with(1).await;
    let (row, postgres) = (scene.subscription_no, &scene.test.postgres);
    postgres.admin("UPDATE sealbus.floors SET floor = -1").await;
    let error = scene.test.ledger.floors().read(&[(row, 0)]).await.unwrap().remove(0).unwrap_err().to_string();
    assert_eq!(error, format!("floors.floor of row {row} is invalid: -1 is not a u64"));
    postgres.admin("ALTER TABLE sealbus.subscriptions DROP CONSTRAINT subscriptions_start_check").await;
    postgres.admin("UPDATE sealbus.subscriptions SET start = 'tomorrow'").await;
    let found = scene.test.ledger.subscriptions().find_or_create(&subscription(), Start::Now).await;
    let error = found.unwrap_err().to_string();
    assert_eq!(error, format!(r#"subscriptions.start of row {row} is invalid: unknown start "tomorrow""#));
}
