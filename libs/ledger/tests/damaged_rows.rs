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
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

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

/// Returns null, the extremes of a type, and other values that Sealbus never writes, as SQL.
fn values(data_type: &str) -> &'static [&'static str] {
    match data_type {
        "integer" => &["NULL", "-1", "2147483647", "-2147483648"],
        "smallint" => &["NULL", "0", "-32768", "32767"],
        "timestamp with time zone" => &["NULL", "'infinity'", "'-infinity'", "'294276-12-31'", "'4714-11-24 BC'"],
        "bytea" => &["NULL", "''", "'\\x00'", "decode(repeat('00', 33), 'hex')"],
        "uuid" => &["NULL", "'00000000-0000-0000-0000-000000000000'"],
        "json" => &["NULL", "'null'", "'[]'", r#"'{"a":1e400}'"#, r#"'{"a":"\u0000"}'"#],
        "text" => &["NULL", "''", "E'\\x1b[2J'", "'a|b'", "repeat('x', 100000)"],
        other => panic!("no values for a column of type {other}"),
    }
}

#[tokio::test]
async fn no_value_of_any_column_stops_sealing_relaying_or_appending_to_other_plans() {
    let test = TestLedger::start().await;
    let appender = test.appender().await;
    let mut connection = PgConnection::connect(&test.postgres.admin_url()).await.unwrap();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema = 'sealbus' AND table_name = 'events' AND column_name NOT IN ('plan_no', 'seq')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.execute("SET session_replication_role = replica").await.unwrap();
    let mut plans = Vec::new();
    for (column, data_type) in &columns {
        let nullable = format!("ALTER TABLE sealbus.events ALTER {column} DROP NOT NULL");
        connection.execute(AssertSqlSafe(nullable)).await.unwrap();
        for (number, value) in values(data_type).iter().enumerate() {
            let plan = format!("{column}-{number}");
            append(&appender, "acme", &plan, vec![draft(1), draft(2)]).await;
            let damage = format!(
                "UPDATE sealbus.events SET {column} = {value} WHERE seq = 2 AND plan_no = (SELECT plan_no FROM sealbus.plans WHERE plan = '{plan}')"
            );
            connection.execute(AssertSqlSafe(damage)).await.unwrap();
            plans.push(plan);
        }
    }
    append(&appender, "acme", "whole", vec![draft(1), draft(2)]).await;

    // The relay reads each row as an event, or as one that cannot be sent.
    let mut sendable = Vec::new();
    for partition in 0..8 {
        let mut rows = test.ledger.outbox().page(partition, 0, 1_000, &[]).await.unwrap();
        // A damaged size may end a read early, but not before its first row.
        while !rows.is_empty() {
            let read = test.ledger.outbox().events(&rows, 1 << 20).await.unwrap();
            rows.drain(..read.len());
            for (row, event) in read {
                if let Ok(record) = event {
                    sendable.push((record.header.plan, row.seq));
                }
            }
        }
    }
    for plan in plans.iter().map(String::as_str).chain(["whole"]) {
        assert!(sendable.contains(&(plan.to_owned(), 1)), "event 1 of {plan} cannot be sent");
    }
    assert!(sendable.contains(&("whole".to_owned(), 2)));

    // The sealer stops a plan, or seals its events.
    let (mut state, mut stopped) = (SealingState::default(), 0);
    loop {
        let sealed = test.ledger.log().seal_batch(100, &mut state, None).await.unwrap();
        stopped += sealed.stopped.len();
        if sealed.leaves == 0 && sealed.stopped.is_empty() {
            break;
        }
    }
    let waiting = "SELECT count(DISTINCT plan_no) FROM sealbus.seal_queue";
    assert_eq!(test.postgres.count(waiting).await, i64::try_from(stopped).unwrap());
    let whole = "SELECT count(*) FROM sealbus.log_leaves l JOIN sealbus.plans p USING (plan_no) WHERE p.plan = 'whole'";
    assert_eq!(test.postgres.count(whole).await, 2);

    // An append to a damaged plan succeeds or is refused, and the batcher goes on.
    for plan in &plans {
        let outcome = appender.append(call("acme", plan, vec![draft(3)])).await;
        let refused = |error: &AppendError| matches!(error, AppendError::Unavailable(source) if matches!(**source, LedgerError::Unreadable { .. } | LedgerError::Corrupt { .. }));
        assert!(outcome.as_ref().is_ok() || outcome.as_ref().is_err_and(refused), "{plan}: {outcome:?}");
    }
    append(&appender, "acme", "whole", vec![draft(3)]).await;
}
