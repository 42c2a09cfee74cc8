//! Sweeps of different subscriptions do not wait for each other, and end with the process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use sealbus_core::partition::PlanKey;
use sealbus_testkit::{eventually, eventually_eq};
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Bus, Recorder, Table, settings, subscription, sweeping};

/// How many leaves a new subscription has to walk over: ten pages.
const LEAVES: i64 = 5_000;
/// The advisory lock that a walk waits for.
const WALK_LOCK: i64 = 1;

fn partition(plan: &str) -> u32 {
    PlanKey::of("acme", plan).partition(8)
}

/// Returns another plan in the partition of plan `order-1`.
fn neighbour() -> String {
    let mut plans = (2..).map(|n| format!("order-{n}"));
    plans.find(|plan| partition(plan) == partition("order-1")).unwrap()
}

/// Gives plan `order-1` leaves with the log indexes below [`LEAVES`], for events that follow its own ones.
async fn make_a_long_log(bus: &Bus) {
    let partition = partition("order-1");
    bus.postgres
        .admin(&format!(
            "INSERT INTO sealbus.log_leaves (log_id, leaf_index, plan_no, seq, partition, leaf_hash, sealed_at)
            SELECT d.log_id, n, p.plan_no, n + 10, {partition}, decode(repeat('00', 32), 'hex'), now() - interval '1 day'
            FROM sealbus.deployment d, sealbus.plans p, generate_series(0, {LEAVES} - 1) n WHERE p.plan = 'order-1'"
        ))
        .await;
}

/// Gives the first event of a plan the leaf after those of [`make_a_long_log`].
async fn seal_after_them(bus: &Bus, plan: &str) {
    let partition = partition(plan);
    bus.postgres
        .admin(&format!(
            "INSERT INTO sealbus.log_leaves (log_id, leaf_index, plan_no, seq, partition, leaf_hash, sealed_at)
            SELECT d.log_id, {LEAVES}, p.plan_no, 1, {partition}, decode(repeat('00', 32), 'hex'), now() - interval '1 day'
            FROM sealbus.deployment d, sealbus.plans p WHERE p.plan = '{plan}'"
        ))
        .await;
}

async fn floor(bus: &Bus, subscription: &str) -> i64 {
    let partition = partition("order-1");
    let floor = format!(
        "SELECT coalesce(max(floor), 0) FROM sealbus.floors JOIN sealbus.subscriptions USING (subscription_no)
            WHERE name = '{subscription}' AND partition = {partition}"
    );
    bus.count(&floor).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_heals_while_a_new_one_walks_over_the_log_and_shutdown_ends_the_walk() {
    let bus = Bus::start().await;
    let recorder = Recorder::default();
    let process = bus.consume(subscription("audit"), recorder.handler(), sweeping()).await;
    bus.publish("order-1", &["a.b"]).await;
    bus.reaches_seq("audit", "order-1", 2).await;
    process.stop().await;

    // The log is long, and the first subscription is at its end.
    make_a_long_log(&bus).await;
    bus.postgres.admin(&format!("UPDATE sealbus.floors SET floor = {LEAVES}")).await;

    // The second subscription begins. After its first page it waits for a lock.
    let mut holder = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    let (lock, unlock) = (format!("SELECT pg_advisory_lock({WALK_LOCK})"), "SELECT pg_advisory_unlock_all()");
    holder.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
    let wait = format!(
        "CREATE FUNCTION sealbus.wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared({WALK_LOCK}); RETURN NEW; END';
        CREATE TRIGGER wait BEFORE UPDATE ON sealbus.floors FOR EACH ROW
            WHEN (OLD.floor > 0 AND OLD.floor < {LEAVES}) EXECUTE FUNCTION sealbus.wait()"
    );
    bus.postgres.admin(&wait).await;
    let both = vec![(subscription("audit"), recorder.handler()), (subscription("new"), Recorder::default().handler())];
    let process = bus.consume_all(both, sweeping()).await;
    eventually("the new subscription walks", async || floor(&bus, "new").await > 0).await;

    // An event that the stream lost reaches the first subscription meanwhile.
    let plan = neighbour();
    bus.append(&plan, &["a.b"]).await;
    seal_after_them(&bus, &plan).await;
    eventually_eq("the events that were lost", vec![1], async || recorder.applied(&plan)).await;

    // The process ends before the walk does, which goes on once the process is ending.
    let ((), unlocked) = tokio::join!(process.stop(), holder.execute(unlock));
    unlocked.unwrap();
    assert!(floor(&bus, "new").await < LEAVES, "the process waited for the end of the walk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_position_or_floor_is_left_out_by_the_sweep() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let process = bus.consume(subscription("audit"), table.handler(), sweeping()).await;
    bus.publish("order-1", &["a.b"]).await;
    bus.reaches_seq("audit", "order-1", 2).await;

    // Another session holds the position of a plan and the floors of another partition.
    let mut holder = PgConnection::connect(&bus.postgres.admin_url()).await.unwrap();
    holder.execute("BEGIN; UPDATE sealbus.positions SET attempts = attempts").await.unwrap();
    let other_floors = format!("UPDATE sealbus.floors SET floor = floor WHERE partition <> {}", partition("order-1"));
    holder.execute(sqlx::AssertSqlSafe(other_floors)).await.unwrap();

    // The plan and its neighbour have an event each that the stream lost, and the other partitions have one too.
    let plan = neighbour();
    let others: Vec<String> = (0..8).map(|n| format!("plan-{n}")).collect();
    for plan in others.iter().chain([&plan, &"order-1".to_owned()]) {
        bus.append(plan, &["a.b"]).await;
    }
    bus.seal().await;
    for plan in others.iter().chain([&plan]) {
        bus.has_rows(plan, [1]).await;
    }
    assert_eq!(bus.rows("order-1").await, [1]);

    // Once the rows are free, the plan is healed too.
    holder.execute("ROLLBACK").await.unwrap();
    bus.has_rows("order-1", [1, 2]).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_in_an_unknown_state_stops_its_own_plan_only() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let process = bus.consume(subscription("audit"), table.handler(), sweeping()).await;
    bus.publish("order-1", &["a.b"]).await;
    bus.reaches_seq("audit", "order-1", 2).await;
    process.stop().await;
    let unknown = "ALTER TABLE sealbus.positions DROP CONSTRAINT positions_state_check;
        UPDATE sealbus.positions SET state = 'resting', next_at = now()";
    bus.postgres.admin(unknown).await;

    // More messages than the broker delivers unacknowledged arrive for the plan, and some for its neighbour.
    let process = bus.consume(subscription("audit"), table.handler(), sweeping()).await;
    bus.publish("order-1", &["a.b"; 600]).await;
    let plan = neighbour();
    bus.publish(&plan, &["a.b"; 3]).await;
    bus.has_rows(&plan, 1..=3).await;

    // The sweep heals the neighbour as well, and moves the floor past the events that are noted.
    bus.append(&plan, &["a.b"]).await;
    bus.seal().await;
    bus.has_rows(&plan, 1..=4).await;
    let seen = "SELECT seen_seq FROM sealbus.positions WHERE state = 'resting'";
    eventually_eq("seen_seq of the plan", 601, async || bus.count(seen).await).await;

    // A process that knows the state again delivers what was noted.
    bus.postgres.admin("UPDATE sealbus.positions SET state = 'parked' WHERE state = 'resting'").await;
    bus.has_rows("order-1", 1..=601).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_too_large_to_be_read_together_are_delivered_in_order() {
    let bus = Bus::start().await;
    let table = Table::create(&bus, 16).await;
    let payload = format!(r#"{{"n":"{}"}}"#, "x".repeat(250_000));
    let mut records = Vec::new();
    for _ in 0..4 {
        let events = (0..2).map(|_| sealbus_testkit::events::draft("a.b", payload.clone())).collect();
        records.extend(sealbus_testkit::ledger::append(&bus.appender, "acme", "order-1", events).await);
    }
    let plan_no = bus.ledger.history().plan_no("acme", "order-1").await.unwrap().unwrap();
    assert_eq!(bus.ledger.history().range(plan_no, 1, 8, 100).await.unwrap().len(), 5);

    // Only the last message arrives. The others do not fit into one read.
    let process = bus.consume(subscription("audit"), table.handler(), settings()).await;
    bus.send(&records[7..]).await;
    bus.has_rows("order-1", 1..=8).await;
    process.stop().await;
}
