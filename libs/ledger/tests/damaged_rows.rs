//! Rows that Sealbus did not write: one that cannot be read as an event holds up its own plan only.

use sealbus_core::names::Subscription;
use sealbus_ledger::LedgerError;
use sealbus_ledger::append::AppendError;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_ledger::log::SealingState;
use sealbus_ledger::outbox::Unsendable;
use sealbus_testkit::TestLedger;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{append, call};

/// Values for columns of `events` that no event has.
const DAMAGES: [&str; 8] = [
    "recorded = 'infinity'",
    "occurred = '-infinity'",
    "occurred = '294276-12-31'",
    "kid = NULL",
    "recorded = NULL",
    "payload_mode = 9",
    "payload_size = -2147483648",
    "payload_size = NULL",
];

/// Returns a ledger with two queued events in plan `whole` and in a plan for each of the damages, each of which is done to the
/// second event of its plan.
async fn damaged_ledger() -> TestLedger {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    test.postgres.admin("ALTER TABLE sealbus.events ALTER kid DROP NOT NULL, ALTER recorded DROP NOT NULL, ALTER payload_size DROP NOT NULL").await;
    for (number, damage) in DAMAGES.iter().enumerate() {
        append(&appender, "acme", &format!("damaged-{number}"), vec![draft(1), draft(2)]).await;
        tamper(&test, &format!("UPDATE sealbus.events SET {damage} WHERE seq = 2 AND plan_no = (SELECT plan_no FROM sealbus.plans WHERE plan = 'damaged-{number}')")).await;
    }
    append(&appender, "acme", "whole", vec![draft(1), draft(2)]).await;
    test
}

async fn tamper(test: &TestLedger, change: &str) {
    test.postgres.admin(&format!("SET session_replication_role = replica; {change}")).await;
}

#[tokio::test]
async fn the_sealer_stops_the_plans_of_damaged_events_and_seals_the_others() {
    let test = damaged_ledger().await;
    // A plan without a partition has no place in the log either.
    tamper(&test, "ALTER TABLE sealbus.plans ALTER partition DROP NOT NULL; UPDATE sealbus.plans SET partition = NULL WHERE plan = 'damaged-0'").await;
    let sealed = test.ledger.log().seal_batch(1_000, &mut SealingState::default(), None).await.unwrap();
    let mut stopped: Vec<_> = sealed.stopped.iter().map(|stopped| (stopped.plan.as_str(), stopped.seq)).collect();
    stopped.sort_unstable();
    let expected: Vec<_> = (0..DAMAGES.len()).map(|number| format!("damaged-{number}")).collect();
    let expected: Vec<_> =
        expected.iter().enumerate().map(|(number, plan)| (plan.as_str(), if number == 0 { 1 } else { 2 })).collect();
    assert_eq!(stopped, expected);
    // The key event, the first events of all damaged plans but one, and plan `whole` have leaves.
    assert_eq!(sealed.leaves, 1 + DAMAGES.len() as u64 - 1 + 2);
    test.ledger.log().oldest_unsealed().await.unwrap();
    // The metrics can be read, whatever the oldest queued event and the newest leaf look like.
    tamper(&test, "UPDATE sealbus.events SET recorded = 'infinity'").await;
    tamper(&test, "UPDATE sealbus.log_leaves SET sealed_at = '-infinity'").await;
    let status = test.ledger.log().status(0).await.unwrap();
    assert_eq!((status.oldest_queued, status.stored_age), (0.0, Some(0.0)));
    let name = Subscription::parse("audit").unwrap();
    let subscription =
        test.ledger.subscriptions().find_or_create(&name, Start::Beginning).await.unwrap().subscription_no;
    assert_eq!(test.ledger.floors().ages(&[subscription]).await.unwrap(), [(subscription, 0.0)]);
}

#[tokio::test]
async fn the_outbox_gives_damaged_events_as_unsendable_and_the_others_as_they_are() {
    let test = damaged_ledger().await;
    let mut sendable = Vec::new();
    for partition in 0..8 {
        let rows = test.ledger.outbox().page(partition, 0, 100, &[]).await.unwrap();
        for (row, event) in test.ledger.outbox().events(&rows, 1 << 20).await.unwrap() {
            match event {
                Ok(record) => sendable.push((record.header.plan, row.seq)),
                Err(unsendable) => assert!(matches!(unsendable, Unsendable::Unreadable(_)), "{row:?}: {unsendable}"),
            }
        }
    }
    let whole = sendable.iter().filter(|(plan, _)| plan == "whole").count();
    assert_eq!((whole, sendable.len()), (2, 1 + DAMAGES.len() + 2), "{sendable:?}");
    test.ledger.outbox().depth(&(0..8).map(|partition| (partition, 0)).collect::<Vec<_>>()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_appended_after_a_damaged_event_and_other_plans_go_on() {
    let test = damaged_ledger().await;
    let appender = test.appender().await;
    let (after_infinity, after_null, whole) = tokio::join!(
        appender.append(call("acme", "damaged-0", vec![draft(3)])),
        appender.append(call("acme", "damaged-3", vec![draft(3)])),
        appender.append(call("acme", "whole", vec![draft(3)])),
    );
    for refused in [after_infinity, after_null] {
        let error = refused.unwrap_err();
        assert!(
            matches!(&error, AppendError::Unavailable(source) if matches!(**source, LedgerError::Unreadable { .. })),
            "{error:?}"
        );
    }
    assert_eq!(whole.unwrap()[0].record.header.seq, 3);
}

#[tokio::test]
async fn a_page_of_the_log_leaves_damaged_events_out() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    append(&appender, "acme", "order-1", (1..=20).map(draft).collect()).await;
    test.seal().await;
    // Damage a whole page and more.
    tamper(&test, "UPDATE sealbus.events SET occurred = 'infinity' WHERE tenant = 'acme' AND seq BETWEEN 3 AND 16")
        .await;
    let indexes = async |from, limit| {
        let (mut indexes, mut next) = (Vec::new(), Some(from));
        while let Some(from) = next {
            let page = test.ledger.history().log_page(None, from, limit).await.unwrap();
            indexes.extend(page.records.iter().map(|record| record.log_index.unwrap()));
            next = page.next;
        }
        indexes
    };
    for limit in [1, 4, 5, 100] {
        assert_eq!(indexes(1, limit).await, [1, 2, 17, 18, 19, 20]);
        assert_eq!(indexes(3, limit).await, [17, 18, 19, 20]);
        assert_eq!(indexes(21, limit).await, [] as [u64; 0]);
    }
}
