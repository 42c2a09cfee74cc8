//! The creation of a ledger, and what its database refuses.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use sealbus_core::seal::Keyring;
use sealbus_ledger::{Creation, EXPECTED_MIGRATION, Ledger, OpenError, check_migration, create};
use sealbus_testkit::ledger::{ORIGIN, connection_settings};
use sealbus_testkit::{Postgres, TestLedger};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// Runs a statement as the superuser, and returns the error with which the database refuses it.
async fn refusal(test: &TestLedger, sql: &str) -> String {
    let mut connection = PgConnection::connect(&test.postgres.admin_url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_new_ledger_begins_with_its_key() {
    let test = TestLedger::start().await;
    let keys = test.ledger.history().range(1, 1, 10, 10).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (keys[0].header.tenant.as_str(), keys[0].header.plan.as_str(), keys[0].header.event_type.as_str()),
        ("_system", "_keys", "key.added")
    );
    assert_eq!(keys[0].header.kid, *test.keyring.signer().unwrap().kid());
}

#[tokio::test]
async fn an_invalid_origin_creates_no_ledger() {
    let postgres = Postgres::start().await;
    let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
    for origin in ["", "two words", "a+b"] {
        let creation =
            Creation { origin: origin.into(), partitions: 8, first_event: Uuid::now_v7(), log_id: Uuid::new_v4() };
        let refused = create(&postgres.url(), &creation, &keyring).await.unwrap_err();
        assert!(matches!(refused, OpenError::BadOrigin(_)), "{refused}");
    }
    assert!(
        matches!(Ledger::open(&postgres.url(), &connection_settings()).await, Err(OpenError::NotCreated)),
        "a refused creation has written a ledger"
    );
}

#[tokio::test]
async fn a_ledger_refuses_another_origin_and_can_be_migrated_twice() {
    let test = TestLedger::start().await;
    sealbus_ledger::migrate(&test.postgres.owner_url()).await.unwrap();
    assert_eq!(check_migration(&test.ledger, EXPECTED_MIGRATION).await, Ok(()));
    let other = test.ledger.check_origin("other.example").unwrap_err().to_string();
    assert!(other.contains(ORIGIN) && other.contains("other.example"), "{other}");
    let missing = Ledger::open("postgres://127.0.0.1:1/none", &connection_settings()).await;
    assert!(missing.err().unwrap().is_unreachable());
}

/// The first process of a new release migrates the schema. The processes of this one stay ready, unless the new schema does not
/// suit them.
#[tokio::test]
async fn a_newer_migration_is_accepted_if_it_is_compatible() {
    let test = TestLedger::start().await;
    let newer = "INSERT INTO sealbus._sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'newer', true, '', 0)";
    test.postgres.admin(newer).await;
    assert_eq!(check_migration(&test.ledger, EXPECTED_MIGRATION).await, Ok(()));
    let older = check_migration(&test.ledger, 8).await.unwrap_err();
    assert!(older.contains("9999 is applied, 8 is expected"), "{older}");

    let not_for_us =
        "CREATE OR REPLACE FUNCTION sealbus.compatible_since() RETURNS bigint LANGUAGE sql IMMUTABLE RETURN 9999";
    test.postgres.admin(not_for_us).await;
    check_migration(&test.ledger, EXPECTED_MIGRATION).await.unwrap_err();
    check_migration(&test.ledger, 10_000).await.expect_err("a migration that is not applied");
}

#[tokio::test]
async fn the_database_refuses_to_change_stored_history() {
    let test = TestLedger::start().await;
    let deleted = ["deployment", "plans", "events", "log_leaves", "confirmed_histories"]
        .map(|table| format!("DELETE FROM sealbus.{table}"));
    let emptied = ["deployment", "plans", "events", "log_leaves", "log_roots", "confirmed_histories"]
        .map(|table| format!("TRUNCATE sealbus.{table}"));
    let updated =
        ["UPDATE sealbus.log_leaves SET seq = 1", "UPDATE sealbus.log_roots SET note = ''"].map(str::to_owned);
    for statement in deleted.iter().chain(&emptied).chain(&updated) {
        let refused = refusal(&test, statement).await;
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
    let update = "UPDATE sealbus.events SET actor = 'somebody else'";
    assert!(refusal(&test, update).await.contains("append-only"));
    let writer = sqlx::PgPool::connect(&test.postgres.url()).await.unwrap();
    assert!(sqlx::query(update).execute(&writer).await.unwrap_err().to_string().contains("permission denied"));
}

#[tokio::test]
async fn locking_plans_requires_read_committed() {
    let test = TestLedger::start().await;
    let request = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM sealbus.lock_plans('{}', '{}', '{}', '{}', '{}', false, '')";
    assert!(refusal(&test, request).await.contains("needs read committed"));
}
