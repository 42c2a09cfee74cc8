//! The queues while a transaction elsewhere keeps an old snapshot, so that their dead rows cannot be removed.
//!
//! What a statement costs is measured in index entries that Postgres passes, never in time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use sealbus_core::partition::PlanKey;
use sealbus_ledger::Ledger;
use sealbus_ledger::log::SealingState;
use sealbus_ledger::outbox::KnownPlan;
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::call;
use sealbus_testkit::{TestLedger, eventually_eq};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// Begins a transaction whose snapshot keeps every row that is deleted from now on.
async fn hold_snapshot(test: &TestLedger) -> PgConnection {
    let mut reader = PgConnection::connect(&test.postgres.admin_url()).await.unwrap();
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sealbus.events")
        .execute(&mut reader)
        .await
        .unwrap();
    reader
}

/// Appends `calls` calls of 100 events to a plan of tenant `acme`.
async fn append_hundreds(test: &TestLedger, plan: &str, calls: u64) {
    let appender = test.appender().await;
    for _ in 0..calls {
        appender.append(call("acme", plan, (0..100).map(draft).collect())).await.unwrap();
    }
}

/// Runs statements on a ledger of their own, and returns how many entries of an index they passed. Postgres counts them at the
/// latest when their connections end.
async fn entries_passed(test: &TestLedger, index: &str, statements: impl AsyncFnOnce(&Ledger)) -> i64 {
    let passed = format!("SELECT idx_tup_read FROM pg_stat_all_indexes WHERE indexrelid = 'sealbus.{index}'::regclass");
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'sealbus_writer'";
    test.ledger.close().await;
    eventually_eq("the writer's connections", 0, async || test.postgres.count(connections).await).await;
    let before = test.postgres.count(&passed).await;
    let ledger = test.open_again().await;
    statements(&ledger).await;
    ledger.close().await;
    eventually_eq("the writer's connections", 0, async || test.postgres.count(connections).await).await;
    test.postgres.count(&passed).await - before
}

#[tokio::test]
async fn sealing_does_not_pass_what_it_sealed_before() {
    let test = TestLedger::start().await;
    let snapshot = hold_snapshot(&test).await;
    append_hundreds(&test, "order-1", 60).await;

    // Seal in sixty batches. Read from its start, the queue would make them pass sixty times as many entries on average.
    let mut sealed = 0;
    let passed = entries_passed(&test, "seal_queue_pkey", async |ledger| {
        let mut state = SealingState::default();
        loop {
            let leaves = ledger.log().seal_batch(100, &mut state, None).await.unwrap().leaves;
            if leaves == 0 {
                break;
            }
            sealed += i64::try_from(leaves).unwrap();
        }
    })
    .await;
    assert_eq!(sealed, 6_001);
    assert!(passed < 10 * sealed, "sealing {sealed} events passed {passed} entries");
    snapshot.close().await.unwrap();
}

#[tokio::test]
async fn a_stopped_plan_does_not_make_sealing_pass_what_it_sealed_before() {
    let test = TestLedger::start().await;
    let snapshot = hold_snapshot(&test).await;
    append_hundreds(&test, "damaged", 1).await;
    append_hundreds(&test, "order-1", 60).await;
    let damage = "SET session_replication_role = replica; \
                  UPDATE sealbus.events SET actor = 'mallory' WHERE seq = 1 AND plan_no = \
                  (SELECT plan_no FROM sealbus.plans WHERE plan = 'damaged')";
    test.postgres.admin(damage).await;

    let mut sealed = 0;
    let passed = entries_passed(&test, "seal_queue_pkey", async |ledger| {
        let mut state = SealingState::default();
        loop {
            let batch = ledger.log().seal_batch(100, &mut state, None).await.unwrap();
            if batch.leaves == 0 && batch.stopped.is_empty() {
                break;
            }
            sealed += i64::try_from(batch.leaves).unwrap();
        }
    })
    .await;
    assert_eq!(sealed, 6_001);
    assert!(passed < 10 * sealed, "sealing {sealed} events passed {passed} entries");
    snapshot.close().await.unwrap();
}

#[tokio::test]
async fn an_event_that_is_committed_late_is_sealed_although_later_ids_were() {
    let test = TestLedger::start().await;
    append_hundreds(&test, "late", 1).await;
    let mut state = SealingState::default();
    let mut late = PgConnection::connect(&test.postgres.admin_url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE late AS SELECT * FROM sealbus.seal_queue; DELETE FROM sealbus.seal_queue")
        .execute(&mut late)
        .await
        .unwrap();

    // Draw ids for the events of one plan, and commit them after a thousand others have been sealed.
    let insert = "BEGIN; INSERT INTO sealbus.seal_queue (plan_no, seq, event_hash) \
                  SELECT plan_no, seq, event_hash FROM late ORDER BY id";
    sqlx::raw_sql(insert).execute(&mut late).await.unwrap();
    append_hundreds(&test, "order-1", 10).await;
    let mut seal = async || {
        let mut leaves = 0;
        loop {
            match test.ledger.log().seal_batch(50, &mut state, None).await.unwrap().leaves {
                0 => break leaves,
                sealed => leaves += sealed,
            }
        }
    };
    assert_eq!(seal().await, 1_000);
    sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
    assert_eq!(seal().await, 101, "the events of the plan, and the ledger's first event");
}

#[tokio::test]
async fn the_smallest_seq_of_a_known_plan_is_found_without_its_deleted_rows() {
    let test = TestLedger::start().await;
    let snapshot = hold_snapshot(&test).await;
    append_hundreds(&test, "hot", 30).await;
    let hot = test.postgres.count("SELECT plan_no FROM sealbus.plans WHERE plan = 'hot'").await;
    test.postgres.admin(&format!("DELETE FROM sealbus.outbox WHERE plan_no <> {hot} OR seq <= 2990")).await;
    let partition = PlanKey::of("acme", "hot").partition(8);

    // The caller may know less than what was deleted, or more than what was.
    for (next_seq, expected) in [(2_951, 2_991), (2_991, 2_991), (2_996, 2_991)] {
        let known = [KnownPlan { plan_no: hot, next_seq }];
        let passed = entries_passed(&test, "outbox_plan_no_seq_key", async |ledger| {
            let rows = ledger.outbox().page(partition, 0, 100, &known).await.unwrap();
            assert_eq!(rows.len(), 10);
            assert!(rows.iter().all(|row| row.smallest_seq == expected), "{rows:?}");
        })
        .await;
        assert!(passed <= 50, "{passed} entries were passed");
        let passed = entries_passed(&test, "outbox_plan_no_seq_key", async |ledger| {
            let rows = ledger.outbox().of_plans(&[("acme", "hot", next_seq)], 100).await.unwrap();
            assert_eq!(rows.first().map(|(_, row)| row.seq), Some(next_seq.max(2_991)));
        })
        .await;
        assert!(passed <= 50, "{passed} entries were passed");
    }
    snapshot.close().await.unwrap();
}

#[tokio::test]
async fn without_a_known_plan_every_deleted_row_is_passed() {
    // This checks the measure itself.
    let test = TestLedger::start().await;
    let mut snapshot = hold_snapshot(&test).await;
    append_hundreds(&test, "hot", 10).await;
    test.postgres.admin("DELETE FROM sealbus.outbox WHERE seq <= 990").await;
    let partition = PlanKey::of("acme", "hot").partition(8);
    let passed = entries_passed(&test, "outbox_plan_no_seq_key", async |ledger| {
        assert_eq!(ledger.outbox().page(partition, 0, 100, &[]).await.unwrap().len(), 10);
    })
    .await;
    assert!(passed >= 990, "{passed} entries were passed");
    let still_held = sqlx::query(AssertSqlSafe("SELECT count(*) FROM sealbus.outbox")).fetch_one(&mut snapshot).await;
    assert_eq!(still_held.unwrap().get::<i64, _>(0), 1, "the snapshot is not the one from before the appends");
}
