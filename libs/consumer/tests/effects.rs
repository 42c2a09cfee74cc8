//! Effects in the ledger's Postgres that wait, fail at the commit, or lose their connection: only the event that is to
//! blame fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sealbus_consumer::{Delivery, ExternalEffect, Handler, HandlerError, LedgerEffect, Settings};
use sealbus_core::partition::PlanKey;
use sealbus_ledger::delivery::positions::PositionState;
use sealbus_testkit::{eventually, eventually_eq};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Bus, Recorder, Table, retrying, settings, subscription, sweeping};

/// A pause longer than the budget for retries in memory: the plan is parked at the first failure.
const LONG: Duration = Duration::from_millis(1_100);

/// Returns names of plans that are in the partition of plan `hot`.
fn neighbours_of_hot() -> impl Iterator<Item = String> {
    let partition = |plan: &str| PlanKey::of("acme", plan).partition(8);
    (0..).map(|n| format!("plan-{n}")).filter(move |plan| partition(plan) == partition("hot"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_of_the_sink_holds_up_its_own_plan_only() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 64).await;
    bus.postgres.admin("CREATE UNIQUE INDEX ON sealbus_sinks.applied (plan, seq)").await;
    let process = bus
        .consume_all(
            vec![
                (retrying("audit", 100, LONG), table.handler()),
                (subscription("other"), Recorder::default().handler()),
            ],
            Settings { handler_timeout: Duration::from_secs(2), ..sweeping() },
        )
        .await;

    // Another session holds the row that the first event of plan `hot` needs.
    let mut holder = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    holder.execute("BEGIN; INSERT INTO sealbus_sinks.applied (plan, seq) VALUES ('hot', 1)").await.unwrap();

    // The plan gets more messages than the broker delivers unacknowledged, and its neighbours get some.
    bus.publish("hot", &["a.b"; 600]).await;
    let neighbours: Vec<String> = neighbours_of_hot().take(5).collect();
    for plan in &neighbours {
        bus.publish(plan, &["a.b"; 3]).await;
    }
    for plan in &neighbours {
        bus.has_rows(plan, 1..=3).await;
    }

    // The plan is parked, with the error of the statement that waited.
    let error = async || bus.blocked("audit").await.pop().and_then(|position| position.last_error).unwrap_or_default();
    eventually("the attempt is recorded with its cause", async || error().await.contains("lock timeout")).await;

    // The sweep goes on, and delivers in the same partition what the stream lost.
    bus.append(&neighbours[0], &["a.b"; 2]).await;
    bus.seal().await;
    bus.has_rows(&neighbours[0], 1..=5).await;
    bus.reaches_seq("other", &neighbours[0], 6).await;
    assert_eq!(bus.position("audit", "hot").await.unwrap().next_seq, 1);

    // Once the row is free, the plan catches up.
    holder.execute("ROLLBACK").await.unwrap();
    bus.has_rows("hot", 1..=600).await;
    process.stop().await;
}

/// A handler that runs statements for longer than it may, and after each of them starts another one.
struct Endless;

#[async_trait]
impl LedgerEffect for Endless {
    async fn apply(&self, _: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        loop {
            transaction.execute("SELECT pg_sleep(0.3)").await?;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_leaves_no_connection_behind() {
    let bus = Bus::start().await;
    let settings = Settings { handler_timeout: Duration::from_millis(500), ..settings() };
    let endless = Handler::InLedger(Arc::new(Endless));
    let process = bus.consume(retrying("endless", 2, Duration::from_millis(5)), endless, settings).await;

    for plan in 0..20 {
        bus.publish(&format!("plan-{plan}"), &["a.b"]).await;
    }
    let dead =
        "SELECT count(*) FROM sealbus.positions WHERE state = 'dead' AND last_error LIKE 'the handler took longer%'";
    eventually_eq("the dead letters", 20, async || bus.count(dead).await).await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 40);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
        AND datname = current_database()";
    eventually_eq("the connections that are left", 0, async || bus.count(sleeping).await).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_constraint_fails_its_own_event_and_no_other() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 64).await;
    bus.postgres
        .admin(
            "CREATE FUNCTION sealbus_sinks.refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN IF NEW.plan = 'ill' AND NEW.seq = 2 THEN
                    RAISE 'ill is refused' USING ERRCODE = 'too_many_connections'; END IF; RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON sealbus_sinks.applied DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION sealbus_sinks.refuse()",
        )
        .await;

    // All plans are published before the process starts, so that they share transactions.
    let neighbours: Vec<String> = neighbours_of_hot().take(30).collect();
    for plan in neighbours.iter().map(String::as_str).chain(["ill"]) {
        bus.publish(plan, &["a.b"; 3]).await;
    }
    let process = bus.consume(retrying("audit", 3, Duration::from_millis(5)), table.handler(), settings()).await;
    bus.reaches("audit", "ill", PositionState::Dead).await;
    for plan in &neighbours {
        bus.has_rows(plan, 1..=3).await;
    }

    // The attempts are counted, although the error has the SQLSTATE of a server that is out of connections, and name the cause.
    let dead = bus.blocked("audit").await.remove(0);
    assert_eq!((dead.plan.as_str(), dead.seq, dead.attempts), ("ill", 2, 3));
    let error = dead.last_error.unwrap();
    assert!(error.contains("ill is refused"), "the cause is not in the error: {error}");
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 3);
    assert_eq!(bus.rows("ill").await, [1]);
    process.stop().await;
}

/// A handler that leaves its transaction idle until the server ends the session, and runs another statement if it is told to.
struct Idle {
    runs_another: bool,
    session: PgConnectOptions,
}

#[async_trait]
impl LedgerEffect for Idle {
    async fn apply(&self, _: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await?;
        // This is the last statement before the server ends the session.
        let set = "SET LOCAL idle_in_transaction_session_timeout = 1";
        transaction.execute(set).await?;
        let mut observer = PgConnection::connect_with(&self.session).await?;
        let is_alive = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
        while sqlx::query_scalar(is_alive).bind(pid).fetch_one(&mut observer).await? {}
        if self.runs_another {
            transaction.execute("SELECT 1").await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_left_idle_is_a_failed_attempt() {
    let bus = Bus::start().await;
    let session: PgConnectOptions = bus.postgres.admin_url().parse().unwrap();
    let handler = |runs_another| Handler::InLedger(Arc::new(Idle { runs_another, session: session.clone() }));
    let pause = Duration::from_millis(5);
    let subscriptions =
        vec![(retrying("in-call", 2, pause), handler(true)), (retrying("at-commit", 2, pause), handler(false))];
    let process = bus.consume_all(subscriptions, settings()).await;

    // The next statement of the handler fails, or the check before the commit does. Each plan becomes a dead letter.
    bus.publish("order-1", &["a.b"]).await;
    for subscription in ["in-call", "at-commit"] {
        bus.reaches(subscription, "order-1", PositionState::Dead).await;
        let error = bus.blocked(subscription).await.remove(0).last_error.unwrap();
        assert!(
            error.contains("idle-in-transaction timeout"),
            "{subscription}: the cause is not in the error: {error}"
        );
        let at_commit = error.starts_with("the effect cannot be committed");
        assert_eq!(at_commit, subscription == "at-commit", "{subscription}: the error came elsewhere: {error}");
    }
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 4);
    process.stop().await;
}

/// A handler whose connection breaks in its second to sixth call.
#[derive(Default)]
struct Disconnected(AtomicUsize);

#[async_trait]
impl LedgerEffect for Disconnected {
    async fn apply(&self, _: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        let call = self.0.fetch_add(1, Ordering::Relaxed);
        if call == 0 {
            return Err(HandlerError::new("once"));
        }
        if call <= 5 {
            transaction.execute("SELECT pg_terminate_backend(pg_backend_pid())").await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_to_the_ledger_is_no_attempt() {
    let bus = Bus::start().await;
    let settings = Settings { retry_budget: Duration::ZERO, ..settings() };
    let handler = Handler::InLedger(Arc::new(Disconnected::default()));
    let process = bus.consume(retrying("audit", 2, Duration::from_millis(5)), handler, settings).await;

    // The first attempt fails and the plan is parked. The second one is interrupted five times, and succeeds.
    bus.publish("order-1", &["a.b"]).await;
    bus.reaches_seq("audit", "order-1", 2).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 1);
    process.stop().await;
}

/// A handler that fails in its first two calls. The failure of the second one cannot be recorded.
struct Unrecorded {
    calls: AtomicUsize,
    database: PgConnectOptions,
}

#[async_trait]
impl LedgerEffect for Unrecorded {
    async fn apply(&self, _: &[Delivery], _: &mut PgConnection) -> Result<(), HandlerError> {
        let rename = match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 => return Err(HandlerError::new("once")),
            1 => "ALTER TABLE sealbus.attempts RENAME TO attempts_elsewhere",
            2 => "ALTER TABLE sealbus.attempts_elsewhere RENAME TO attempts",
            _ => return Ok(()),
        };
        PgConnection::connect_with(&self.database).await?.execute(rename).await?;
        if rename.ends_with("elsewhere") { Err(HandlerError::new("twice")) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_cannot_be_recorded_is_no_attempt() {
    let bus = Bus::start().await;
    let settings = Settings { retry_budget: Duration::ZERO, ..settings() };
    let database: PgConnectOptions = bus.postgres.admin_url().parse().unwrap();
    let handler = Handler::InLedger(Arc::new(Unrecorded { calls: AtomicUsize::default(), database }));
    let process = bus.consume(retrying("audit", 2, Duration::from_millis(5)), handler, settings).await;

    bus.publish("order-1", &["a.b"]).await;
    bus.reaches_seq("audit", "order-1", 2).await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 1);
    process.stop().await;
}

/// Gives the leases of subscription `audit` to another owner, who does not renew them.
const TAKE_LEASES: &str =
    "UPDATE sealbus.leases SET holder = 'another', epoch = epoch + 1, expires_at = now() WHERE kind = 'deliver/audit'";

/// A handler that loses its connection to the ledger in its second to sixth call, and with it the leases of the subscription.
struct Evicted {
    calls: AtomicUsize,
    database: PgConnectOptions,
}

#[async_trait]
impl LedgerEffect for Evicted {
    async fn apply(&self, _: &[Delivery], transaction: &mut PgConnection) -> Result<(), HandlerError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call == 0 {
            return Err(HandlerError::new("once"));
        }
        if call <= 5 {
            let mut other = PgConnection::connect_with(&self.database).await?;
            other.execute(TAKE_LEASES).await?;
            transaction.execute("SELECT pg_terminate_backend(pg_backend_pid())").await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_attempt_does_not_count_after_the_lease_was_lost() {
    let bus = Bus::start().await;
    // A worker that was interrupted waits so long that only the next owner of the lease goes on.
    let settings = Settings { retry_budget: Duration::ZERO, unreachable_pause: Duration::from_hours(1), ..settings() };
    let database: PgConnectOptions = bus.postgres.admin_url().parse().unwrap();
    let effect = Arc::new(Evicted { calls: AtomicUsize::default(), database });
    let process =
        bus.consume(retrying("audit", 2, Duration::from_millis(5)), Handler::InLedger(effect.clone()), settings).await;

    bus.publish("order-1", &["a.b"]).await;
    bus.reaches_seq("audit", "order-1", 2).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;
    assert_eq!(effect.calls.load(Ordering::Relaxed), 7);
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_cancelled_does_not_count() {
    let bus = Bus::start().await;
    let (retry_budget, shutdown_grace) = (Duration::ZERO, Duration::from_millis(50));
    let settings = Settings { retry_budget, shutdown_grace, ..settings() };
    let subscription = || retrying("audit", 2, Duration::from_millis(5));
    let recorder = Recorder::default();
    recorder.fail(|_, attempt| (attempt == 1).then_some("once"));
    let gate = recorder.block();
    gate.add_permits(1);
    let process = bus.consume(subscription(), recorder.handler(), settings.clone()).await;
    bus.publish("order-1", &["a.b"]).await;
    let calls = async |count| {
        eventually("the handler is called", async || recorder.attempts("order-1", 1) == count).await;
    };

    // The first attempt fails. The second and last one is cancelled because the lease is lost, and the third because the process
    // ends.
    calls(2).await;
    bus.postgres.admin(TAKE_LEASES).await;
    calls(3).await;
    process.stop().await;
    let process = bus.consume(subscription(), recorder.handler(), settings).await;
    calls(4).await;
    gate.add_permits(1);
    bus.reaches_seq("audit", "order-1", 2).await;
    bus.reaches("audit", "order-1", PositionState::Live).await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 1);
    process.stop().await;
}

/// An external effect that needs a lock in a database, and gives up at once while another session holds it.
struct NeedsLock {
    database: PgConnectOptions,
    calls: AtomicUsize,
}

#[async_trait]
impl ExternalEffect for NeedsLock {
    async fn apply(&self, _: &[Delivery]) -> Result<(), HandlerError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut connection = PgConnection::connect_with(&self.database).await?;
        connection.execute("BEGIN; LOCK TABLE sealbus_sinks.applied NOWAIT; COMMIT").await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_call_that_loses_a_lock_is_repeated_as_the_same_attempt() {
    let bus = Bus::start().await;
    Table::create(&bus, 1).await;
    let database: PgConnectOptions = bus.postgres.admin_url().parse().unwrap();
    let effect = Arc::new(NeedsLock { database: database.clone(), calls: AtomicUsize::default() });
    let mut holder = PgConnection::connect_with(&database).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE sealbus_sinks.applied").await.unwrap();

    // The policy has one attempt, so that an attempt that counts makes a dead letter.
    let subscription = retrying("reports", 1, Duration::from_millis(5));
    let process = bus.consume(subscription, Handler::External(effect.clone()), settings()).await;
    bus.publish("order-1", &["a.b"]).await;
    eventually("the call was repeated", async || effect.calls.load(Ordering::Relaxed) > 3).await;
    holder.execute("ROLLBACK").await.unwrap();
    bus.reaches_seq("reports", "order-1", 2).await;
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_attempt_that_loses_a_lock_for_too_long_counts() {
    let bus = Bus::start().await;
    Table::create(&bus, 1).await;
    let database: PgConnectOptions = bus.postgres.admin_url().parse().unwrap();
    let mut holder = PgConnection::connect_with(&database).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE sealbus_sinks.applied").await.unwrap();

    let effect = Arc::new(NeedsLock { database, calls: AtomicUsize::default() });
    let settings = Settings { handler_timeout: Duration::from_secs(2), ..settings() };
    let subscription = retrying("reports", 2, Duration::from_millis(5));
    let process = bus.consume(subscription, Handler::External(effect), settings).await;
    bus.publish("order-1", &["a.b"]).await;
    bus.reaches("reports", "order-1", PositionState::Dead).await;
    let error = bus.blocked("reports").await.remove(0).last_error.unwrap();
    assert!(error.contains("could not obtain lock"), "the cause is not in the error: {error}");
    assert_eq!(bus.count("SELECT count(*) FROM sealbus.attempts").await, 2);
    process.stop().await;
}
