//! Subscriptions, floors and the leaves that the sweep reads, on a real Postgres.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use sealbus_core::names::Subscription;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_testkit::TestLedger;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::call;

fn subscription(name: &str) -> Subscription {
    Subscription::parse(name).unwrap()
}

/// Creates the subscription `audit` with floors of zero, and returns its number.
async fn subscribe_from_the_beginning(test: &TestLedger) -> i64 {
    let created = test.ledger.subscriptions().find_or_create(&subscription("audit"), Start::Beginning).await;
    created.unwrap().subscription_no
}

async fn floors(test: &TestLedger, subscription_no: i64) -> Vec<u64> {
    let all: Vec<_> = (0..8).map(|partition| (subscription_no, partition)).collect();
    let mut floors: Vec<_> = test.ledger.floors().read(&all).await.unwrap().into_iter().map(Result::unwrap).collect();
    floors.sort_by_key(|floor| floor.partition);
    floors.into_iter().map(|floor| floor.index).collect()
}

#[tokio::test]
async fn a_subscription_from_the_beginning_has_floors_of_zero_and_is_created_once() {
    let test = TestLedger::start().await;
    let first = test.ledger.subscriptions().find_or_create(&subscription("audit"), Start::Beginning).await.unwrap();
    assert_eq!(first.start, Start::Beginning);
    assert_eq!(floors(&test, first.subscription_no).await, [0; 8]);
    let again = test.ledger.subscriptions().find_or_create(&subscription("audit"), Start::Now).await.unwrap();
    assert_eq!((again.subscription_no, again.start), (first.subscription_no, Start::Beginning));
    assert_eq!(test.ledger.subscriptions().names().await.unwrap(), ["audit"]);
    assert_eq!(test.ledger.subscriptions().number(&subscription("audit")).await.unwrap(), Some(first.subscription_no));
}

#[tokio::test]
async fn a_subscription_from_now_begins_after_all_stored_events_without_waiting_for_the_sealer() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    appender.append(call("acme", "sealed", vec![draft(1)])).await.unwrap();
    test.seal().await;
    appender.append(call("acme", "queued", vec![draft(1), draft(2)])).await.unwrap();
    appender.append(call("acme", "damaged", vec![draft(1), draft(2)])).await.unwrap();
    let damage = "SET session_replication_role = replica; \
                  UPDATE sealbus.events SET actor = 'mallory' WHERE seq = 1 AND plan_no = \
                  (SELECT plan_no FROM sealbus.plans WHERE plan = 'damaged')";
    test.postgres.admin(damage).await;

    let created = test.ledger.subscriptions().find_or_create(&subscription("late"), Start::Now).await.unwrap();
    let late = created.subscription_no;
    assert_eq!(floors(&test, late).await, [2; 8]);
    let next_seqs = async || {
        let mut next = Vec::new();
        for plan in ["sealed", "queued", "damaged"] {
            let plan_no =
                test.postgres.count(&format!("SELECT plan_no FROM sealbus.plans WHERE plan = '{plan}'")).await;
            let position = test.ledger.positions().read(late, &[plan_no]).await.unwrap().remove(&plan_no).unwrap();
            let position = position.unwrap();
            assert!(position.agrees, "the position of {plan} is not at the event that the ledger holds");
            next.push(position.next_seq);
        }
        next
    };
    assert_eq!(next_seqs().await, [2, 3, 3]);

    // What is sealed and published later changes nothing, and the subscription is created once.
    test.seal().await;
    appender.append(call("acme", "queued", vec![draft(3)])).await.unwrap();
    let again = test.ledger.subscriptions().find_or_create(&subscription("late"), Start::Now).await.unwrap();
    assert_eq!(again, created);
    assert_eq!((next_seqs().await, floors(&test, late).await), (vec![2, 3, 3], vec![2; 8]));
}

#[tokio::test]
async fn a_queue_row_of_any_kind_does_not_keep_a_subscription_from_beginning_now() {
    let test = TestLedger::start().await;
    test.appender().await.append(call("acme", "order-1", vec![draft(1)])).await.unwrap();
    let rubbish =
        "INSERT INTO sealbus.seal_queue (plan_no, seq) VALUES (2, 9223372036854775807), (2, 7), (-1, 1), (999, 0)";
    test.postgres.admin(rubbish).await;
    let created = test.ledger.subscriptions().find_or_create(&subscription("late"), Start::Now).await.unwrap();
    assert_eq!(floors(&test, created.subscription_no).await, [0; 8]);
}

#[tokio::test]
async fn a_floor_moves_by_compare_and_set() {
    let test = TestLedger::start().await;
    let audit = subscribe_from_the_beginning(&test).await;
    assert!(test.ledger.floors().advance(audit, 3, 0, 10).await.unwrap());
    assert!(!test.ledger.floors().advance(audit, 3, 0, 5).await.unwrap(), "an older sweep moved the floor back");
    assert_eq!(floors(&test, audit).await, [0, 0, 0, 10, 0, 0, 0, 0]);
}

#[tokio::test]
async fn the_sweep_ends_at_the_first_young_leaf_even_if_a_later_one_looks_older() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    for n in 0..4 {
        appender.append(call("acme", "order-1", vec![draft(n)])).await.unwrap();
    }
    test.seal().await;
    let partition = sealbus_core::partition::PlanKey::of("acme", "order-1").partition(8);
    let all = test.ledger.floors().leaves(partition, 0, Duration::ZERO, 100).await.unwrap();
    assert_eq!(
        all.iter().map(|leaf| (leaf.seq, leaf.event_type.as_deref())).collect::<Vec<_>>(),
        (1..=4).map(|seq| (seq, Some("test.happened"))).collect::<Vec<_>>()
    );
    assert!(test.ledger.floors().leaves(partition, 0, Duration::from_mins(10), 100).await.unwrap().is_empty());
    // Make leaf 3 younger than leaf 4, as if the clock had been set back.
    test.postgres.admin(
        "SET session_replication_role = replica;
         UPDATE sealbus.log_leaves SET sealed_at = clock_timestamp() - interval '1 hour' WHERE plan_no = 2 AND seq <> 3",
    )
    .await;
    let old = test.ledger.floors().leaves(partition, 0, Duration::from_mins(10), 100).await.unwrap();
    assert_eq!(old.iter().map(|leaf| leaf.seq).collect::<Vec<_>>(), [1, 2]);
    let rest = test.ledger.floors().leaves(partition, all[1].index + 1, Duration::ZERO, 100).await.unwrap();
    assert_eq!(rest.iter().map(|leaf| leaf.seq).collect::<Vec<_>>(), [3, 4]);
}

#[tokio::test]
async fn the_age_is_that_of_the_oldest_leaf_at_or_above_the_floors() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    for n in 0..5 {
        appender.append(call("acme", &format!("order-{n}"), vec![draft(n), draft(n)])).await.unwrap();
    }
    test.seal().await;
    let audit = subscribe_from_the_beginning(&test).await;
    test.postgres
        .admin(
            "SET session_replication_role = replica;
             UPDATE sealbus.log_leaves SET sealed_at = now() - interval '1 hour' * (11 - leaf_index) - interval '1 minute'",
        )
        .await;
    let hours = async || {
        let ages = test.ledger.floors().ages(&[audit]).await.unwrap();
        ages.into_iter().map(|(number, seconds)| (number, (seconds / 3_600.0).floor())).collect::<Vec<_>>()
    };
    assert_eq!(hours().await, [(audit, 11.0)]);
    for partition in 0..8 {
        assert!(test.ledger.floors().advance(audit, partition, 0, 9).await.unwrap());
    }
    assert_eq!(hours().await, [(audit, 2.0)]);
    test.postgres.admin("UPDATE sealbus.floors SET floor = 11").await;
    assert_eq!(hours().await, [(audit, 0.0)]);
}

#[tokio::test]
async fn a_leaf_whose_time_lies_in_the_future_holds_up_no_sweep() {
    for time in ["clock_timestamp() + interval '1 year'", "'infinity'"] {
        let test = TestLedger::start().await;
        let appender = test.appender().await;
        appender.append(call("acme", "order-1", (0..4).map(draft).collect())).await.unwrap();
        test.seal().await;
        let partition = sealbus_core::partition::PlanKey::of("acme", "order-1").partition(8);

        // The first leaf of the plan is in the future, the next two are old, and the last one is young.
        test.postgres
            .admin(&format!(
                "SET session_replication_role = replica;
                 UPDATE sealbus.log_leaves SET sealed_at = {time} WHERE plan_no = 2 AND seq = 1;
                 UPDATE sealbus.log_leaves SET sealed_at = clock_timestamp() - interval '1 hour' WHERE plan_no = 2 AND seq IN (2, 3)"
            ))
            .await;
        let old = test.ledger.floors().leaves(partition, 1, Duration::from_mins(10), 100).await.unwrap();
        assert_eq!(old.iter().map(|leaf| leaf.seq).collect::<Vec<_>>(), [1, 2, 3], "{time}");
    }
}

#[tokio::test]
async fn a_floor_is_behind_while_an_old_leaf_lies_above_it() {
    let test = TestLedger::start().await;
    let audit = subscribe_from_the_beginning(&test).await;
    test.appender().await.append(call("acme", "order-1", vec![draft(1)])).await.unwrap();
    test.seal().await;
    let partition = sealbus_core::partition::PlanKey::of("acme", "order-1").partition(8);
    let floors = test.ledger.floors();
    assert!(floors.behind(&[audit], Duration::from_mins(10)).await.unwrap().is_empty(), "a young leaf counts");
    let behind = floors.behind(&[audit], Duration::ZERO).await.unwrap();
    assert!(behind.contains(&(audit, partition, 0)), "{behind:?}");
    assert!(floors.advance(audit, partition, 0, 2).await.unwrap());
    let behind = floors.behind(&[audit], Duration::ZERO).await.unwrap();
    assert!(behind.iter().all(|(_, behind, _)| *behind != partition), "{behind:?}");
}
