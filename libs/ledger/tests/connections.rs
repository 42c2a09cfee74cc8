//! The lanes of connections, their deadlines, and what a session relies on.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use sealbus_ledger::append::{AppendError, Appender};
use sealbus_ledger::{ConnectionSettings, LaneUsage, Ledger, LedgerError};
use sealbus_testkit::ledger::{ORIGIN, append, append_settings, call, connection_settings};
use sealbus_testkit::{Postgres, Proxy, TestLedger, events, eventually};
use sqlx::Connection;

/// A deadline that no operation needs on a busy machine, unless its connection is frozen.
const DEADLINE: Duration = Duration::from_secs(3);

fn settings() -> ConnectionSettings {
    ConnectionSettings { deadline: DEADLINE, ..connection_settings() }
}

/// Opens the ledger through a proxy, with one connection in each lane.
async fn behind_proxy(test: &TestLedger) -> (Proxy, Ledger) {
    let proxy = Proxy::start(&test.postgres.url()).await;
    let one = ConnectionSettings { appends: 1, reads: 1, background: 1, effects: 1, deadline: DEADLINE };
    let ledger = Ledger::open(proxy.url(), &one).await.unwrap();
    (proxy, ledger)
}

fn appender(test: &TestLedger, ledger: &Ledger) -> Appender {
    Appender::start(ledger, &test.keyring, &append_settings(), None).unwrap()
}

fn usage(ledger: &Ledger, lane: &str) -> LaneUsage {
    ledger.connection_usage().into_iter().find(|(name, _)| *name == lane).unwrap().1
}

#[tokio::test]
async fn an_operation_on_a_frozen_connection_fails_and_the_next_one_succeeds() {
    let test = TestLedger::start().await;
    let (proxy, ledger) = behind_proxy(&test).await;
    ledger.log().size().await.unwrap();
    ledger.leases().view("relay", DEADLINE).await.unwrap();

    let effects = ledger.effects();
    let mut connection = effects.acquire().await.unwrap();
    proxy.freeze();
    let error = effects.within(async { Ok::<_, LedgerError>(connection.ping().await?) }).await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    drop(connection);
    effects.begin().await.expect("the only place of the lane is free again");
    assert_eq!(ledger.log().size().await.unwrap(), 0);
    ledger.leases().view("relay", DEADLINE).await.expect("the frozen connection of another lane is not lent");
    ledger.ping().await.expect("the frozen connection of the probes is not lent");
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_no_connection_with_it() {
    let test = TestLedger::start().await;
    let (proxy, ledger) = behind_proxy(&test).await;
    ledger.log().size().await.unwrap();
    proxy.freeze();
    // The caller gives up before the deadline, after it got the only connection.
    let caller = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.log().size().await }
    });
    eventually("the caller has the connection", async || usage(&ledger, "reads").idle == 0).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled(), "a frozen connection answered");
    eventually("a new connection takes the place of the frozen one", async || ledger.log().size().await.is_ok()).await;
}

#[tokio::test]
async fn an_append_on_a_frozen_connection_is_run_again_on_another_one() {
    let test = TestLedger::start().await;
    let (proxy, ledger) = behind_proxy(&test).await;
    let appender = appender(&test, &ledger);
    append(&appender, "acme", "p", vec![events::numbered(1)]).await;
    proxy.freeze();
    let record = append(&appender, "acme", "p", vec![events::numbered(2)]).await.remove(0);
    assert_eq!(record.header.seq, 2);
}

/// What a batch writes does not fit into the buffers of the sockets, so that its connection never accepts the rest.
#[tokio::test]
async fn a_connection_that_freezes_in_the_middle_of_a_write_frees_its_place() {
    let test = TestLedger::start().await;
    let (proxy, ledger) = behind_proxy(&test).await;
    let appender = appender(&test, &ledger);
    append(&appender, "acme", "p", vec![events::numbered(1)]).await;
    proxy.freeze_after(1 << 20);
    let large = || events::draft("test.happened", format!("\"{}\"", "x".repeat(250_000)));
    // The server waits for the rest of the statement, and keeps the lock of the plan.
    let refused = appender.append(call("acme", "p", (0..100).map(|_| large()).collect())).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable(_)), "{refused}");
    drop(appender);
    eventually("no connection is in use", async || {
        let LaneUsage { open, idle, .. } = usage(&ledger, "appends");
        open == idle
    })
    .await;
}

#[tokio::test]
async fn a_restart_of_the_database_costs_no_caller_an_error() {
    let mut test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    let ledger = test.ledger.clone();
    let parallel = (0..6).map(|_| ledger.log().size());
    futures::future::try_join_all(parallel).await.unwrap();
    test.postgres.kill().await;
    test.postgres.restart().await;
    for _ in 0..6 {
        ledger.log().size().await.expect("a connection from before the restart is not lent");
    }
}

#[tokio::test]
async fn slow_reads_hold_up_neither_appends_nor_probes() {
    let test = TestLedger::start().await;
    let ledger = Ledger::open(&test.postgres.url(), &settings()).await.unwrap();
    let appender = appender(&test, &ledger);
    append(&appender, "acme", "p", vec![events::numbered(1)]).await;
    let mut locking = sqlx::PgConnection::connect(&test.postgres.admin_url()).await.unwrap();
    let mut lock = locking.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE sealbus.log_leaves IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let reads: Vec<_> = (0..50)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.log().size().await })
        })
        .collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    eventually("all connections for reads are in use", async || {
        test.postgres.count(waiting).await == i64::from(settings().reads)
    })
    .await;

    append(&appender, "acme", "p", vec![events::numbered(2)]).await;
    ledger.ping().await.unwrap();
    ledger.leases().view("relay", DEADLINE).await.unwrap();
    for read in reads {
        let error = read.await.unwrap().unwrap_err();
        assert!(matches!(error, LedgerError::Unreachable(_)), "{error}");
    }
    lock.rollback().await.unwrap();
    ledger.log().size().await.expect("reads work again");
}

/// Whatever the defaults of the role and the database are, events are appended, and acknowledged after they are flushed.
#[tokio::test]
async fn a_session_does_not_depend_on_defaults_of_the_role() {
    let test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    for default in [
        "default_transaction_isolation = 'repeatable read'",
        "default_transaction_read_only = on",
        "default_transaction_deferrable = on",
        "synchronous_commit = off",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "row_security = off",
        "client_min_messages = error",
    ] {
        test.postgres.admin(&format!("ALTER ROLE sealbus_writer SET {default}")).await;
    }
    let appender = test.appender().await;
    append(&appender, "acme", "p", vec![events::numbered(1)]).await;

    let mut effect = test.open_again().await.effects().begin().await.unwrap();
    for (name, value) in [
        ("transaction_isolation", "read committed"),
        ("transaction_read_only", "off"),
        ("synchronous_commit", "on"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("client_min_messages", "warning"),
    ] {
        let setting = sqlx::query_scalar::<_, String>("SELECT current_setting($1)").bind(name);
        assert_eq!(setting.fetch_one(&mut *effect).await.unwrap(), value, "{name}");
    }
}

#[tokio::test]
async fn the_use_of_connections_is_counted() {
    let test = TestLedger::start().await;
    let one = ConnectionSettings { effects: 1, ..settings() };
    let ledger = Ledger::open(&test.postgres.url(), &one).await.unwrap();
    let effects = || ledger.connection_usage().into_iter().find(|(lane, _)| *lane == "effects").unwrap().1;
    assert_eq!((effects().max, effects().open, effects().waits), (1, 0, 0));

    // The only connection is lent, and the next caller gets none.
    let lent = ledger.effects().acquire().await.unwrap();
    assert_eq!((effects().open, effects().idle, effects().waits, effects().failed_waits), (1, 0, 1, 0));
    assert!(ledger.effects().begin().await.is_err());
    assert_eq!((effects().waits, effects().failed_waits), (2, 1));
    assert!(effects().waited >= DEADLINE, "{:?}", effects().waited);

    // So does one whose statement, not its wait, has the deadline.
    assert!(sqlx::query("SELECT 1").execute(ledger.effects()).await.is_err());
    assert_eq!((effects().waits, effects().failed_waits), (3, 2));
    drop(lent);
    eventually("the connection is idle", async || effects().idle == 1).await;
}

#[tokio::test]
async fn outages_are_counted() {
    let mut test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    test.ledger.log().size().await.unwrap();
    assert_eq!(test.ledger.outages(), 0);
    test.postgres.kill().await;
    test.ledger.log().size().await.unwrap_err();
    assert!(test.ledger.outages() > 0);
}

/// A lane whose connections are all in use says nothing about the database, and its connections stay usable.
#[tokio::test]
async fn a_wait_in_vain_is_no_outage_while_the_database_answers_others() {
    let test = TestLedger::start().await;
    let one = ConnectionSettings { effects: 1, ..settings() };
    let ledger = Ledger::open(&test.postgres.url(), &one).await.unwrap();
    let session = "SELECT pg_backend_pid()";
    let mut lent = ledger.effects().acquire().await.unwrap();
    let before: i32 = sqlx::query_scalar(session).fetch_one(&mut *lent).await.unwrap();
    let others = async {
        loop {
            ledger.ping().await.unwrap();
        }
    };
    let waiting = sqlx::query("SELECT 1").execute(ledger.effects());
    tokio::select! {
        () = others => unreachable!(),
        answer = waiting => drop(answer.unwrap_err()),
    }
    assert_eq!(ledger.outages(), 0);
    drop(lent);
    assert_eq!(sqlx::query_scalar::<_, i32>(session).fetch_one(ledger.effects()).await.unwrap(), before);
}

/// So ends the transaction of a process that was paused.
#[tokio::test]
async fn a_session_that_the_server_has_ended_counts_as_unreachable() {
    let test = TestLedger::start().await;
    let mut paused = test.ledger.effects().begin().await.unwrap();
    let setting = "SET LOCAL idle_in_transaction_session_timeout = '1ms'";
    sqlx::query(setting).execute(&mut *paused).await.unwrap();
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sealbus' AND query LIKE 'SET LOCAL%'";
    eventually("the server has ended the session", async || test.postgres.count(sessions).await == 0).await;
    let error = sqlx::query("SELECT 1").execute(&mut *paused).await.unwrap_err();
    assert!(LedgerError::from(error).is_unreachable());
}
